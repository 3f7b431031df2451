DROP TABLE sync_jobs, sync_cursors, sync_batches, sync_batch_bodies, sync_errors, record_states, sync_watermarks, store_incarnations;
DROP FUNCTION sync_jobs_prove_completed, sync_job_progress;
DROP SEQUENCE sync_read_sequence;
