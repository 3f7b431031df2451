import Postgres

/// The tables of this module. Orchestrator, harvester and indexer run it at start.
package func syncJobsMigrator(pool: PostgresPool) -> Migrator {
    Migrator(
        pool: pool, module: "sync_jobs",
        migrations: [
            Migration(
                1, "initial", up: PackageResources.m0001_initial_up_sql, down: PackageResources.m0001_initial_down_sql),
            Migration(
                2, "completions", up: PackageResources.m0002_completions_up_sql,
                down: PackageResources.m0002_completions_down_sql),
            Migration(
                3, "store_sequences", up: PackageResources.m0003_store_sequences_up_sql,
                down: PackageResources.m0003_store_sequences_down_sql),
        ])
}
