-- How far each datasource has been brought into each physical collection: a new version may be switched to when every datasource
-- has had a full sync into it, and it is in step while no sync into the active one began later.
CREATE TABLE sync_completions (
    collection_id text COLLATE "C" NOT NULL,
    datasource_id uuid NOT NULL,
    full_at timestamptz,                              -- when a full sync last completed
    start_seq bigint NOT NULL,                        -- of the completed full or incremental sync that began last
    job_id uuid NOT NULL,
    PRIMARY KEY (collection_id, datasource_id)
);

INSERT INTO sync_completions
SELECT collection_id, datasource_id, max(completed_at) FILTER (WHERE type = 'full'), max(start_seq),
    (array_agg(id ORDER BY start_seq DESC))[1]
FROM sync_jobs
WHERE status = 'completed' AND type <> 'webhook' AND coalesce(options->>'dryRun', 'false') <> 'true'
GROUP BY collection_id, datasource_id;
