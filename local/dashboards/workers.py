"""Workers and Redis: tasks, mails, memory, processor, the broker, the machine."""

from local.dashboards.grafana import GREEN, RED, Limit, Query, Row, dashboard, newest, number, series

TASKS = Row(
    "Tasks",
    [
        series(
            "Tasks, each minute, by outcome",
            "`failure` is a bug: its traceback is in Sentry. `outage`: the database was down, beat starts "
            "it again.",
            "short",
            Query(
                "sum by (outcome) (rate(amani_celery_tasks_total{amani}[rate])) * 60",
                "{{outcome}}",
            ),
            runbooks=["TasksFailing"],
        ),
        series(
            "Failed tasks, each hour, by task",
            "Which task fails. Dots open the trace of a failed one.",
            "short",
            Query(
                'sum by (task) (increase(amani_celery_tasks_total{amani, outcome="failure"}[1h])) > 0',
                "{{task}}",
                exemplars=True,
            ),
            runbooks=["TasksFailing"],
        ),
        series(
            "Duration, 95th percentile, by task",
            "A task that grows slower with the data needs an index or batches.",
            "s",
            Query(
                "histogram_quantile(0.95, sum by (task, le) "
                "(rate(amani_celery_task_duration_seconds_bucket{amani}[rate])))",
                "{{task}}",
                exemplars=True,
            ),
        ),
        series(
            "Busy workers, by task",
            "How many worker processes each task keeps busy, on average. Near the number of processes: "
            "tasks wait; add workers.",
            "short",
            Query(
                "sum by (task) (rate(amani_celery_task_duration_seconds_sum{amani}[rate]))",
                "{{task}}",
            ),
            stacked=True,
        ),
        series(
            "Mails, each hour",
            "Codes and notices to users, by outcome. `failed`: the mail server refuses them, so users "
            "cannot sign up.",
            "short",
            Query("sum by (outcome) (increase(amani_mails_total{amani}[1h]))", "{{outcome}}"),
            runbooks=["MailsNotSent"],
        ),
        series(
            "Oldest mail that waits",
            "A late code is useless. Above the line: the mail server is down or too slow.",
            "s",
            Query(newest("amani_mails_oldest_seconds"), "oldest"),
            limit=Limit(180, "MailsNotSent"),
        ),
    ],
)

PROCESSES = Row(
    "Processes",
    [
        series(
            "Memory, by instance and role",
            "Resident memory of all processes of a role on an instance. Growing for days: a leak; restart "
            "the role, then look for it.",
            "bytes",
            Query(
                "sum by (instance, role) (amani_process_resident_memory_bytes{amani})",
                "{{role}} {{instance}}",
            ),
            limit=Limit(1024**3, "HighMemoryUsage"),
            size=(7, 8),
        ),
        series(
            "Processor, by instance and role",
            "Cores in use by all processes of a role on an instance. Above the line for long: add "
            "instances or find what computes.",
            "short",
            Query(
                "sum by (instance, role) (rate(amani_process_cpu_seconds_total{amani}[rate]))",
                "{{role}} {{instance}}",
            ),
            limit=Limit(1.5, "HighCPUUsage"),
            size=(7, 8),
        ),
        series(
            "Errors and spans that were lost, each minute",
            "Sentry or the collector of traces is unreachable or too slow. Amani goes on; you see less.",
            "short",
            Query(
                'sum(rate(amani_sentry_events_total{amani, outcome="dropped"}[rate])) * 60', "Sentry events"
            ),
            Query(
                "sum by (reason) (rate(amani_tracing_spans_dropped_total{amani}[rate])) * 60",
                "spans: {{reason}}",
            ),
            runbooks=["TracesNotExported"],
            size=(6, 8),
        ),
        number(
            "Damaged metric files",
            "Files that the last scrape left out. More than 0: the disk, or a killed container; the log "
            "names them.",
            "short",
            Query("sum(amani_metric_files_unreadable{amani})"),
            size=(4, 8),
        ),
    ],
)

REDIS = Row(
    "Redis",
    [
        number(
            "Redis, for Amani",
            "Asked by each web instance at each scrape. Down: alerts are stored but not sent, nobody can "
            "sign in.",
            "none",
            Query('min(amani_dependency_up{amani, dependency="redis"})'),
            words={"1": ("up", GREEN), "0": ("down", RED)},
            runbooks=["RedisUnavailable"],
            size=(4, 8),
        ),
        series(
            "Requests that Redis did not count, each minute",
            "API requests that passed without a limit because Redis did not answer in time.",
            "short",
            Query("sum(rate(amani_throttle_unavailable_total{amani}[rate])) * 60", "not counted"),
            runbooks=["RedisUnavailable"],
            size=(7, 8),
        ),
        series(
            "Memory",
            "Needs the redis exporter. At maxmemory Redis refuses writes: give it more, or find what grows.",
            "bytes",
            Query("redis_memory_used_bytes", "used {{instance}}"),
            Query("redis_memory_max_bytes > 0", "maxmemory {{instance}}"),
            size=(7, 8),
        ),
        series(
            "Commands each second, and clients",
            "Needs the redis exporter. Clients that only grow: connections are not closed.",
            "short",
            Query("sum(rate(redis_commands_processed_total[rate]))", "commands/s"),
            Query("sum(redis_connected_clients)", "clients"),
            size=(6, 8),
        ),
    ],
)

MACHINE = Row(
    "Machine (node exporter)",
    [
        series(
            "Memory in use",
            "Share of the machine's memory.",
            "percentunit",
            Query("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{instance}}"),
            limit=Limit(0.9, "HighMemoryUsage"),
            highest=1,
        ),
        series(
            "Processor in use",
            "Share of the machine's cores.",
            "percentunit",
            Query(
                '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[rate]))',
                "{{instance}}",
            ),
            limit=Limit(0.9, "HighCPUUsage"),
            highest=1,
        ),
        series(
            "Disk in use",
            "Share of each file system. Full disks stop PostgreSQL first.",
            "percentunit",
            Query(
                "max by (instance, mountpoint) (1 - node_filesystem_avail_bytes"
                '{fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660"}'
                " / node_filesystem_size_bytes)",
                "{{instance}} {{mountpoint}}",
            ),
            runbooks=["DiskSpaceLow"],
            highest=1,
        ),
    ],
)

DASHBOARD = dashboard(
    uid="amani-workers",
    title="Amani workers and Redis",
    description="Do tasks run, do mails leave, and do processes have what they need?",
    rows=[TASKS, PROCESSES, REDIS, MACHINE],
)
