ALTER TABLE vector_collections DROP COLUMN last_number;
DROP INDEX vector_collection_versions_retired;
DROP INDEX vector_collection_versions_building;
DELETE FROM vector_collection_versions WHERE state = 'removing';
ALTER TABLE vector_collection_versions
    DROP COLUMN templates,
    DROP COLUMN switch_when_ready,
    DROP COLUMN changed_at,
    DROP CONSTRAINT vector_collection_versions_state_check,
    ADD CHECK (state IN ('active', 'building', 'retired'));
