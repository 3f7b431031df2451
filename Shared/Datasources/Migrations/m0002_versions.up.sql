-- A version that is being removed is read by no new search; it goes from the store when those that had begun are over.
ALTER TABLE vector_collection_versions
    DROP CONSTRAINT vector_collection_versions_state_check,
    ADD CHECK (state IN ('active', 'building', 'retired', 'removing')),
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN switch_when_ready boolean NOT NULL DEFAULT false,
    ADD COLUMN templates json NOT NULL DEFAULT '{}';
COMMENT ON COLUMN vector_collection_versions.changed_at IS 'When its state last changed.';
COMMENT ON COLUMN vector_collection_versions.templates IS
    'Of a version that is not active: embedding templates that differ from the datasources'' own, by datasource id; null is none.';
CREATE UNIQUE INDEX vector_collection_versions_building ON vector_collection_versions (collection_id) WHERE state = 'building';
CREATE UNIQUE INDEX vector_collection_versions_retired ON vector_collection_versions (collection_id) WHERE state = 'retired';

-- A number is not used again: jobs of a removed version name it.
ALTER TABLE vector_collections ADD COLUMN last_number integer NOT NULL DEFAULT 1;
UPDATE vector_collections c SET last_number = (SELECT max(number) FROM vector_collection_versions WHERE collection_id = c.id);
