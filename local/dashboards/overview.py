"""Amani overview: the runbook's six panels first, then what fires and where it hurts."""

from local.dashboards.grafana import (
    GREEN,
    RED,
    Column,
    Limit,
    Query,
    Row,
    dashboard,
    heat,
    newest,
    number,
    series,
    shares,
    table,
)

# Without probes and the alert webhook, which say nothing about the users' requests; as in the rules.
USERS = 'endpoint!~"/?(metrics|api/v1/(ping|health|readiness|alerts/webhook))/?"'
UP_OR_DOWN = {"1": ("up", GREEN), "0": ("down", RED)}


def quantile(share: str, window: str = "[rate]") -> str:
    return (
        f"histogram_quantile({share}, sum by (le) "
        f"(rate(http_request_duration_seconds_bucket{{amani, {USERS}}}{window})))"
    )


def hourly(metric: str, selector: str = "{amani}") -> str:
    return f"sum(increase({metric}{selector}[1h]))"


REQUESTS = Row(
    "Requests, database, business",
    [
        series(
            "Request rate",
            "Requests answered each second, without probes and the alert webhook. A fall to zero by day: "
            "look at the proxy and DNS before Amani. A rise that the errors follow: add web workers or "
            "instances.",
            "reqps",
            Query("sum(rate(instance:amani_http_requests:sum{amani}[rate]))", "all"),
            Query(f"sum by (method) (rate(http_requests_total{{amani, {USERS}}}[rate]))", "{{method}}"),
        ),
        series(
            "Response time, 95th percentile",
            "One request in twenty takes longer. Dots are sampled requests: click one to open its trace in "
            "Jaeger. Above the line: find the endpoint in the table below, then a slow trace of it.",
            "s",
            Query(quantile("0.95"), "95th percentile", exemplars=True),
            Query(quantile("0.5"), "median"),
            Query(quantile("0.99"), "99th percentile"),
            limit=Limit(1, "HighResponseTime"),
        ),
        series(
            "Error rate",
            "Share of the requests that were answered with a 5xx status. Above the line a page is sent: "
            "find the endpoint in the table below and its errors in Sentry; if it began with a deployment "
            "(blue mark), go back.",
            "percentunit",
            Query(
                "sum(rate(instance:amani_http_errors:sum{amani}[rate]))"
                " / sum(rate(instance:amani_http_requests:sum{amani}[rate]))",
                "5xx",
            ),
            limit=Limit(0.05, "HighErrorRate"),
        ),
        series(
            "Active database connections",
            "Connections that Amani's processes hold. 0 is normal when nothing happens. Near the line, "
            "PostgreSQL will soon refuse new ones: fewer threads or workers, or a higher max_connections.",
            "short",
            Query("sum(db_connections_active{amani})", "all"),
            Query("sum by (instance) (db_connections_active{amani})", "{{instance}}"),
            limit=Limit(80, "DatabaseConnectionIssues"),
        ),
        shares(
            "Request status distribution",
            "How the requests of the chosen time range were answered. 4xx are the callers' mistakes; many "
            "401 or 429 can be an attack, many 404 a broken link. 5xx are ours.",
            "short",
            Query(
                f"sum by (status) (increase(http_requests_total{{amani, {USERS}}}[$__range]))", "{{status}}"
            ),
        ),
        series(
            "Business metrics, each hour",
            "What users did in the hour before each point. Zero by day although requests come in: try to "
            "register and to sign in yourself, then read the errors.",
            "short",
            Query(hourly("user_registrations_total"), "registrations"),
            Query(hourly("amani_logins_total", '{amani, outcome="success"}'), "sign-ins"),
            Query(
                hourly("kyc_submissions_total", '{amani, status=~"submitted|resubmitted"}'), "KYC submissions"
            ),
            Query(
                hourly("amani_kyc_decisions_total", '{amani, decision="approved"}'),
                "KYC approvals",
            ),
            Query(hourly("escrow_transactions_total"), "escrow transactions"),
        ),
    ],
)

HEALTH = Row(
    "Now",
    [
        number(
            "Instances that answer",
            "By component: web, worker, beat. Fewer than you started: `docker compose ps`, then the logs "
            "of the missing one.",
            "none",
            Query("sum by (component) (up{amani})", "{{component}}"),
            runbooks=["ApplicationDown", "BackgroundInstanceDown"],
        ),
        number(
            "Database and Redis",
            "Asked by each web instance at each scrape; `down` if one of them gets no answer.",
            "none",
            Query("min by (dependency) (amani_dependency_up{amani})", "{{dependency}}"),
            words=UP_OR_DOWN,
            runbooks=["DatabaseConnectionIssues", "RedisUnavailable"],
        ),
        number(
            "Alerts not delivered yet",
            "Messages to Slack and PagerDuty that wait. More than a few for minutes: see the dashboard "
            "Alert pipeline.",
            "short",
            Query(f"sum({newest('amani_alert_undelivered')})"),
            runbooks=["AlertsUndelivered"],
        ),
        number(
            "Oldest KYC case",
            "Waiting time of the oldest case in the review queue; the target is KYC_REVIEW_TARGET_HOURS.",
            "s",
            Query(f"max({newest('amani_kyc_oldest_seconds')})"),
            runbooks=["KycQueueTooOld"],
        ),
        number(
            "Requests in progress",
            "Being answered now. At the number of threads, others wait: add web workers or instances.",
            "short",
            Query("sum(http_requests_in_progress{amani})"),
        ),
        number(
            "Version",
            "What runs. Two versions for longer than a rolling restart: an instance was not replaced.",
            "none",
            Query("count by (version) (amani_build_info{amani})", "{{version}}"),
            names=True,
        ),
        table(
            "Firing alerts",
            "What fires in Prometheus now. Click a name for its runbook; acknowledge in Amani's console.",
            Column("Firing", 'ALERTS{alertstate="firing", alertname!="Watchdog"}', "none"),
            order="severity",
            hidden=["__name__", "alertstate", "job", "service", "notified_by", "Value", "Firing"],
            links={
                "alertname": {
                    "title": "Runbook",
                    "url": "${amani}/runbooks/${__value.raw}/",
                    "targetBlank": True,
                }
            },
            size=(12, 8),
        ),
        heat(
            "Response times",
            "How many requests took how long. Two bands: some endpoint, or some instance, is slower than "
            "the others.",
            "s",
            Query("sum by (le) (instance_endpoint:http_request_duration_seconds_bucket:rate5m{amani})"),
        ),
    ],
)

ENDPOINTS = Row(
    "Where",
    [
        table(
            "Endpoints",
            "The last five minutes by endpoint. Sort by a column; the slow and the failing ones are the "
            "ones to trace.",
            Column(
                "Requests/s",
                "sum by (endpoint) (instance_endpoint_status:http_requests:rate5m{amani})",
                "reqps",
            ),
            Column(
                "Failed",
                '(sum by (endpoint) (instance_endpoint_status:http_requests:rate5m{amani, status=~"5.."})'
                " or 0 * sum by (endpoint) (instance_endpoint_status:http_requests:rate5m{amani}))"
                " / sum by (endpoint) (instance_endpoint_status:http_requests:rate5m{amani})",
                "percentunit",
            ),
            Column(
                "95th percentile",
                "histogram_quantile(0.95, sum by (endpoint, le) "
                "(instance_endpoint:http_request_duration_seconds_bucket:rate5m{amani}))",
                "s",
            ),
            order="Requests/s",
            runbooks=["HighErrorRate", "HighResponseTime"],
            size=(12, 9),
        ),
        series(
            "Failed requests, by endpoint",
            "5xx answers each second; none is good. Dots are failed requests that were sampled: click one "
            "for its trace. The error itself is in Sentry and in the log, under the trace's request id.",
            "reqps",
            Query(
                'sum by (endpoint, status) (rate(http_requests_total{amani, status=~"5.."}[rate]))',
                "{{status}} {{endpoint}}",
                exemplars=True,
            ),
            runbooks=["HighErrorRate"],
            size=(12, 9),
        ),
        series(
            "Unhandled exceptions, each minute",
            "By class; none is good. Look the class up in Sentry; OperationalError means the database.",
            "short",
            Query("sum by (error_type) (rate(errors_total{amani}[rate])) * 60", "{{error_type}}"),
        ),
        series(
            "Refused as too many, each minute",
            "API requests answered 429. Many of one address: an attack or a broken client; see the access "
            "log.",
            "short",
            Query("sum by (scope) (rate(amani_throttled_total{amani}[rate])) * 60", "{{scope}}"),
        ),
        series(
            "Failed sign-ins, each minute",
            "Attempts that failed, by what was wrong. Many: passwords are being guessed. The runbook says "
            "whom to block.",
            "short",
            Query(
                'sum by (outcome) (rate(amani_logins_total{amani, outcome!="success"}[rate])) * 60',
                "{{outcome}}",
            ),
            runbooks=["SignInFailures"],
        ),
    ],
)

DASHBOARD = dashboard(
    uid="amani-overview",
    title="Amani overview",
    description="Is Amani well? Requests, errors, database, business, and what fires.",
    rows=[REQUESTS, HEALTH, ENDPOINTS],
)
