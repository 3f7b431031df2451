import Postgres

/// The tables of this module. Orchestrator, harvester and indexer run it at start.
package func datasourcesMigrator(pool: PostgresPool) -> Migrator {
    Migrator(
        pool: pool, module: "datasources",
        migrations: [
            Migration(
                1, "initial", up: PackageResources.m0001_initial_up_sql, down: PackageResources.m0001_initial_down_sql),
            Migration(
                2, "versions", up: PackageResources.m0002_versions_up_sql,
                down: PackageResources.m0002_versions_down_sql),
        ])
}
