"""Alert pipeline: from Prometheus through Amani to the phone."""

from local.dashboards.grafana import GREEN, RED, Limit, Query, Row, dashboard, newest, number, series

SIGNS = Row(
    "Is the loop closed?",
    [
        number(
            "Watchdog last arrived",
            "An alert that always fires and arrives each minute or so. Old: Prometheus or Alertmanager is "
            "down, or the webhook's token is wrong.",
            "s",
            Query("time() - max(amani_watchdog_last_seen_timestamp_seconds{amani} > 0)"),
            runbooks=["Watchdog"],
        ),
        number(
            "Heartbeat of the worker",
            "Age of the newest task that went from beat through Redis and worker to the database. Red: "
            "nothing is sent.",
            "s",
            Query("time() - max(amani_worker_heartbeat_timestamp_seconds{amani} > 0)"),
            limit=Limit(60, "AlertWorkerGone"),
        ),
        number(
            "Heartbeat of beat",
            "Age of the newest task that beat queued. Red: no retries, no periodic tasks.",
            "s",
            Query("time() - max(amani_beat_heartbeat_timestamp_seconds{amani} > 0)"),
            limit=Limit(60, "AlertBeatGone"),
        ),
        number(
            "Age of the snapshot",
            "When the backlog was last counted. Red: don't trust the numbers of the backlog.",
            "s",
            Query("time() - max(amani_snapshot_timestamp_seconds{amani} > 0)"),
            limit=Limit(180, "AlertSnapshotStale"),
        ),
        number(
            "Channels",
            "`rejected` while the vendor refuses every message, mostly for a revoked key.",
            "none",
            Query(
                f"max by (channel) ({newest('amani_alert_channel_flagged')})",
                "{{channel}}",
            ),
            words={"0": ("well", GREEN), "1": ("rejected", RED)},
            runbooks=["AlertDeliveryChannelRejected"],
        ),
        number(
            "Given up, last day",
            "Deliveries that failed for good or were given up. Each is an alert that a channel never showed.",
            "short",
            Query('sum(increase(amani_alert_deliveries_total{amani, outcome=~"failed|dead"}[1d]))'),
            limit=Limit(1, "AlertDeliveriesLost"),
        ),
    ],
)

INTAKE = Row(
    "Intake",
    [
        series(
            "Firing alerts",
            "By severity, as Amani knows them. A wall of them at once has one cause: look at the oldest.",
            "short",
            Query(f"sum by (severity) ({newest('amani_alerts_firing')})", "{{severity}}"),
            stacked=True,
        ),
        series(
            "Alerts received, each minute",
            "In accepted webhooks. Silence although Prometheus shows alerts: look at Alertmanager.",
            "short",
            Query("sum by (status) (rate(amani_alerts_received_total{amani}[rate])) * 60", "{{status}}"),
        ),
        series(
            "Webhook requests, each minute",
            "`failed` is retried by Alertmanager; `rejected` is not stored, `partial` only in part.",
            "short",
            Query("sum by (outcome) (rate(amani_alert_webhooks_total{amani}[rate])) * 60", "{{outcome}}"),
            runbooks=["AlertWebhookNotStored"],
        ),
        series(
            "Refused by the webhook, each hour",
            "By reason. Ours with `bad_token`: its token file is old. The rest: *Receipts* in the console "
            "keep the body.",
            "short",
            Query(
                "sum by (reason) (increase(amani_alert_webhook_rejections_total{amani}[1h]))",
                "{{reason}}",
            ),
            runbooks=["AlertWebhookRejections"],
        ),
        series(
            "Odd alerts, each hour",
            "An unknown severity is handled as error: correct the rule. Truncated: Alertmanager left "
            "alerts out.",
            "short",
            Query("sum(increase(amani_alerts_unknown_severity_total{amani}[1h]))", "unknown severity"),
            Query("sum(increase(amani_alerts_with_odd_fields_total{amani}[1h]))", "odd fields"),
            Query("sum(increase(amani_alerts_truncated_total{amani}[1h]))", "truncated"),
            runbooks=["AlertSeverityUnknown", "AlertsTruncated"],
        ),
        series(
            "Rules not published, for how long",
            "Prometheus has other alert rules than Amani wants it to have: see the rule versions.",
            "s",
            Query("max(job:amani_rules_unpublished_seconds:newest{amani})", "not published for"),
            runbooks=["RulesNotPublished"],
        ),
        series(
            "Silences that Alertmanager has not taken, for how long",
            "A silence that is not set hides nothing yet; one that is not expired may still hide alerts.",
            "s",
            Query("max(job:amani_silence_waiting_seconds:newest{amani})", "the oldest change"),
            runbooks=["SilencesNotApplied"],
        ),
        series(
            "Prometheus and Alertmanager, failures each minute",
            "Notifications that did not leave Prometheus, and those that Alertmanager could not deliver.",
            "short",
            Query(
                "sum(rate(prometheus_notifications_errors_total[rate])) * 60", "Prometheus to Alertmanager"
            ),
            Query("sum(rate(prometheus_notifications_dropped_total[rate])) * 60", "dropped by Prometheus"),
            Query(
                "sum by (integration) (rate(alertmanager_notifications_failed_total"
                '{integration=~"webhook|slack|pagerduty"}[rate])) * 60',
                "Alertmanager to {{integration}}",
            ),
            runbooks=["PrometheusNotificationsFailing", "AlertmanagerFallbackFailing"],
        ),
    ],
)

DELIVERY = Row(
    "Delivery",
    [
        series(
            "Waiting deliveries",
            "Planned and not ended. Growing: the vendor is slow or refuses; see the attempts.",
            "short",
            Query(f"sum by (channel) ({newest('amani_alert_undelivered')})", "{{channel}}"),
        ),
        series(
            "Oldest waiting delivery",
            "Above the line a page is sent by Alertmanager itself.",
            "s",
            Query(
                f"max by (channel) ({newest('amani_alert_oldest_undelivered_seconds')})",
                "{{channel}}",
            ),
            limit=Limit(300, "AlertsUndelivered"),
        ),
        series(
            "Attempts, each minute",
            "Requests to the vendors by outcome. Dots open the trace of the task. `unknown`: the "
            "connection broke, the message may have arrived.",
            "short",
            Query(
                "sum by (channel, outcome) (rate(amani_alert_delivery_attempts_total{amani}[rate])) * 60",
                "{{channel}} {{outcome}}",
                exemplars=True,
            ),
            runbooks=["AlertDeliveriesFailing"],
        ),
        series(
            "Deliveries that ended, each hour",
            "`superseded` were no longer needed; `failed` and `dead` were not delivered; `off`: the channel "
            "has no key.",
            "short",
            Query(
                "sum by (channel, outcome) (increase(amani_alert_deliveries_total{amani}[1h]))",
                "{{channel}} {{outcome}}",
            ),
            runbooks=["AlertDeliveriesLost"],
        ),
        series(
            "From the webhook to the vendor, 99th percentile",
            "How long until a vendor accepted the message. Seconds are normal; minutes mean retries or a "
            "pace limit.",
            "s",
            Query(
                "histogram_quantile(0.99, sum by (channel, le) "
                '(rate(amani_alert_delivery_latency_seconds_bucket{amani, since="intake"}[1h])))',
                "{{channel}}",
            ),
        ),
        series(
            "Answer of the vendor, 95th percentile",
            "One request. Near the time limit (NOTIFIER_READ_TIMEOUT): the vendor's status page.",
            "s",
            Query(
                "histogram_quantile(0.95, sum by (channel, le) "
                "(rate(amani_alert_attempt_duration_seconds_bucket{amani}[rate])))",
                "{{channel}}",
                exemplars=True,
            ),
        ),
    ],
)

DASHBOARD = dashboard(
    uid="amani-alerts",
    title="Amani alert pipeline",
    description="Does every alert reach a person, and how fast?",
    rows=[SIGNS, INTAKE, DELIVERY],
    hours=6,
)
