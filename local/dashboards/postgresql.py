"""PostgreSQL: as Amani sees it, and as its exporter sees it."""

from local.dashboards.grafana import GREEN, RED, Limit, Query, Row, dashboard, number, series

AMANI = Row(
    "As Amani sees it",
    [
        number(
            "Database, for Amani",
            "Asked by each web instance at each scrape: it answers and takes writes.",
            "none",
            Query('min(amani_dependency_up{amani, dependency="database"})'),
            words={"1": ("up", GREEN), "0": ("down", RED)},
            runbooks=["DatabaseConnectionIssues"],
            size=(4, 8),
        ),
        number(
            "Statements for each request",
            "A jump after a deployment: a query in a loop. A slow trace shows which.",
            "short",
            Query(
                "sum(rate(db_query_duration_seconds_count{amani}[rate]))"
                " / sum(rate(http_requests_total{amani}[rate]))"
            ),
            size=(4, 8),
        ),
        series(
            "Statement time, 95th percentile",
            "By verb. Dots open the trace of a slow one. Above the line: `pg_stat_statements`, then an "
            "index.",
            "s",
            Query(
                "histogram_quantile(0.95, sum by (operation, le) "
                "(rate(db_query_duration_seconds_bucket{amani}[rate])))",
                "{{operation}}",
                exemplars=True,
            ),
            limit=Limit(0.5, "SlowDatabaseQueries"),
        ),
        series(
            "Statements each second",
            "By verb, web and tasks together.",
            "ops",
            Query(
                "sum by (operation) (rate(db_query_duration_seconds_count{amani}[rate]))",
                "{{operation}}",
            ),
            stacked=True,
        ),
        series(
            "Connections",
            "That Amani's processes hold, by instance. PostgreSQL allows 100 by default.",
            "short",
            Query("sum by (instance) (db_connections_active{amani})", "{{instance}}"),
            Query("sum(db_connections_active{amani})", "all"),
            limit=Limit(80, "DatabaseConnectionIssues"),
        ),
        series(
            "Requests that failed on the database, each minute",
            "By reason. `too_many_connections`: fewer workers or a pooler; `disk_full`: room first; "
            "`read_only`: Amani is connected to a standby.",
            "short",
            Query(
                "sum by (reason) (rate(amani_database_outages_total{amani}[rate])) * 60",
                "{{reason}}",
            ),
            runbooks=["DatabaseConnectionIssues"],
        ),
        series(
            "Rows written, each minute, by model",
            "By save(). What a query changes for many rows is not counted.",
            "short",
            Query("sum by (model) (rate(django_model_inserts_total{amani}[rate])) * 60", "new {{model}}"),
            Query("sum by (model) (rate(django_model_updates_total{amani}[rate])) * 60", "changed {{model}}"),
        ),
    ],
)

EXPORTER = Row(
    "As PostgreSQL sees it (postgres exporter)",
    [
        series(
            "Connections of all clients",
            "With the limit max_connections. Others than Amani connect too.",
            "short",
            Query("sum by (datname) (pg_stat_database_numbackends)", "{{datname}}"),
            Query("max(pg_settings_max_connections)", "max_connections"),
            runbooks=["DatabaseConnectionIssues"],
        ),
        series(
            "Longest transaction",
            "By state. An old one that is `idle in transaction` holds locks and keeps rows from being "
            "cleaned: end it with pg_terminate_backend.",
            "s",
            Query("max by (state) (pg_stat_activity_max_tx_duration)", "{{state}}"),
        ),
        series(
            "Deadlocks and rolled back transactions, each minute",
            "Deadlocks should be 0; each names its statements in the log of PostgreSQL.",
            "short",
            Query("sum by (datname) (rate(pg_stat_database_deadlocks[rate])) * 60", "deadlocks {{datname}}"),
            Query(
                "sum by (datname) (rate(pg_stat_database_xact_rollback[rate])) * 60", "rollbacks {{datname}}"
            ),
        ),
        series(
            "Read from memory",
            "Share of the blocks that were in PostgreSQL's buffers. Falling below 0.99 for long: more "
            "shared_buffers.",
            "percentunit",
            Query(
                "sum by (datname) (rate(pg_stat_database_blks_hit[rate]))"
                " / (sum by (datname) (rate(pg_stat_database_blks_hit[rate]))"
                " + sum by (datname) (rate(pg_stat_database_blks_read[rate])))",
                "{{datname}}",
            ),
            highest=1,
        ),
        series(
            "Size of the databases",
            "Compare with the disk; docs/operations.md says what is kept how long.",
            "bytes",
            Query("max by (datname) (pg_database_size_bytes)", "{{datname}}"),
            runbooks=["DiskSpaceLow"],
        ),
        series(
            "Dead rows, by table",
            "The ten tables with the most. Growing without end: autovacuum does not keep up, or an old "
            "transaction is in its way.",
            "short",
            Query("topk(10, max by (relname) (pg_stat_user_tables_n_dead_tup))", "{{relname}}"),
        ),
    ],
)

DASHBOARD = dashboard(
    uid="amani-postgresql",
    title="Amani PostgreSQL",
    description="Does the database answer fast enough, and does it have room?",
    rows=[AMANI, EXPORTER],
)
