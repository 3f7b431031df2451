CREATE TABLE datasources (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    type text NOT NULL,
    connection_config json NOT NULL,
    connection_secrets text,
    query_template text,
    field_mapping json NOT NULL,
    embedding_fields json NOT NULL,
    embedding json NOT NULL,
    processing json NOT NULL,
    collection text NOT NULL,
    sync_schedule text,
    webhook_enabled boolean NOT NULL DEFAULT false,
    webhook_secret text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'error')),
    description text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX datasources_collection ON datasources (collection);

COMMENT ON COLUMN datasources.connection_config IS 'Without secrets.';
COMMENT ON COLUMN datasources.connection_secrets IS 'AES-256-GCM, context datasources|<id>|connection_secrets.';
COMMENT ON COLUMN datasources.webhook_secret IS 'AES-256-GCM, context datasources|<id>|webhook_secret.';

-- The uploaded file of a file source, in chunks of 256 KiB.
CREATE TABLE datasource_files (
    id uuid PRIMARY KEY,
    datasource_id uuid NOT NULL REFERENCES datasources ON DELETE CASCADE,
    name text NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX datasource_files_datasource ON datasource_files (datasource_id);

-- Chunks are stored before their file is: no foreign key; those of a broken upload are removed by the next one.
CREATE TABLE datasource_file_chunks (
    file_id uuid NOT NULL,
    number integer NOT NULL,
    bytes bytea NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (file_id, number)
);
ALTER TABLE datasource_file_chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- A collection as users name it. Its versions are the physical collections in the store; one of them is the active one.
CREATE TABLE vector_collections (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    distance text NOT NULL DEFAULT 'Cosine' CHECK (distance IN ('Cosine', 'Dot', 'Euclid')),
    datasource_id uuid,
    total_points bigint NOT NULL DEFAULT 0,
    last_synced_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE vector_collection_versions (
    physical_name text PRIMARY KEY,
    collection_id uuid NOT NULL REFERENCES vector_collections ON DELETE CASCADE,
    number integer NOT NULL,
    vector_size integer NOT NULL CHECK (vector_size > 0),
    space text,
    state text NOT NULL CHECK (state IN ('active', 'building', 'retired')),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (collection_id, number)
);
CREATE UNIQUE INDEX vector_collection_versions_active ON vector_collection_versions (collection_id) WHERE state = 'active';
