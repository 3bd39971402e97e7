"""KYC: the queue, the decisions, the provider, the images."""

from local.dashboards.grafana import Limit, Query, Row, dashboard, newest, number, series

QUEUE = Row(
    "Queue",
    [
        number(
            "Cases that wait",
            "Cases without a decision, by state; `in_review` are claimed. Growing by day: more reviewers "
            "are needed.",
            "short",
            Query(f"sum by (state) ({newest('amani_kyc_queue')})", "{{state}}"),
            runbooks=["KycQueueTooOld"],
            size=(6, 4),
        ),
        number(
            "Oldest case, share of the target",
            "1 is KYC_REVIEW_TARGET_HOURS. Above it: claim the oldest with *Review next* in the console.",
            "percentunit",
            Query(
                f"max({newest('amani_kyc_oldest_seconds')})"
                f" / max({newest('amani_kyc_review_target_seconds')})"
            ),
            limit=Limit(1, "KycQueueTooOld"),
            size=(6, 4),
        ),
        number(
            "Doubted approvals",
            "Approvals that the provider doubts and no reviewer has revoked or upheld. Each needs a person.",
            "short",
            Query(f"max({newest('amani_kyc_doubted_approvals')})"),
            limit=Limit(1, "KycApprovalDoubted"),
            size=(6, 4),
        ),
        number(
            "Age of these numbers",
            "A task of the worker counts the queue. Older than three minutes: don't trust the numbers "
            "beside it.",
            "s",
            Query("time() - max(amani_kyc_snapshot_timestamp_seconds{amani} > 0)"),
            limit=Limit(180, "KycSnapshotStale"),
            size=(6, 4),
        ),
        series(
            "Cases that wait, over time",
            "The queue by state. It should empty in working hours.",
            "short",
            Query(f"sum by (state) ({newest('amani_kyc_queue')})", "{{state}}"),
            stacked=True,
        ),
        series(
            "Submissions, each hour",
            "`refused` are broken inputs or second cases; mostly refused means that an app is broken. "
            "`busy` means that images come in faster than they are rewritten: add web workers.",
            "short",
            Query("sum by (status) (increase(kyc_submissions_total{amani}[1h]))", "{{status}}"),
            runbooks=["KycSubmissionsRefused"],
        ),
        series(
            "Decisions, each hour",
            "By decision, and by whom: `manual` is a reviewer. None by day while cases wait: no reviews.",
            "short",
            Query(
                "sum by (decision, provider) (increase(amani_kyc_decisions_total{amani}[1h]))",
                "{{decision}} {{provider}}",
            ),
        ),
        series(
            "Share of approvals, each day",
            "Among the decisions on new cases. Half of last week's: a provider or a form has changed, or "
            "fraud.",
            "percentunit",
            Query(
                'sum(increase(amani_kyc_decisions_total{amani, decision="approved"}[1d]))'
                " / sum(increase(amani_kyc_decisions_total"
                '{amani, decision=~"approved|rejected|asked_for_more"}[1d]))',
                "approved",
            ),
            runbooks=["KycApprovalRateHalved"],
            highest=1,
        ),
        series(
            "Images refused, each hour",
            "By reason. Many `too_large` or `wrong_type`: the app sends what we don't take. `bomb` and "
            "`active_content` are attacks.",
            "short",
            Query("sum by (reason) (increase(amani_kyc_files_refused_total{amani}[1h]))", "{{reason}}"),
        ),
        series(
            "Uses of money that limits refused, each hour",
            "By tier and limit. A sudden rise: a limit was set too low, or users try larger amounts.",
            "short",
            Query("sum by (tier, kind) (increase(amani_limit_denied_total{amani}[1h]))", "{{tier}} {{kind}}"),
            runbooks=["LimitDeniedSpike"],
        ),
    ],
)

PROVIDER = Row(
    "Provider",
    [
        series(
            "Requests that fail",
            "Share of the requests to the provider. Above the line: its status page; reviewers can decide "
            "without it.",
            "percentunit",
            Query(
                "sum by (provider, operation) "
                '(rate(amani_kyc_provider_requests_total{amani, outcome!="ok"}[10m]))'
                " / sum by (provider, operation) (rate(amani_kyc_provider_requests_total{amani}[10m]))",
                "{{provider}} {{operation}}",
            ),
            limit=Limit(0.5, "KycProviderFailing"),
        ),
        series(
            "Duration of a request, 95th percentile",
            "Slow answers keep the worker from other tasks.",
            "s",
            Query(
                "histogram_quantile(0.95, sum by (provider, operation, le) "
                "(rate(amani_kyc_provider_request_duration_seconds_bucket{amani}[rate])))",
                "{{provider}} {{operation}}",
            ),
        ),
        series(
            "Oldest check without a result",
            "The provider owes us a result for so long. Above the line: ask the provider.",
            "s",
            Query(f"max by (provider) ({newest('amani_kyc_checks_oldest_seconds')})", "{{provider}}"),
            limit=Limit(7200, "KycProviderFailing"),
        ),
        series(
            "Callbacks, each hour",
            "By result. `bad_signature`: a wrong key, or a stranger. `failed`: see *Provider events* in "
            "the console.",
            "short",
            Query(
                "sum by (provider, result) (increase(amani_kyc_provider_events_total{amani}[1h]))",
                "{{provider}} {{result}}",
            ),
        ),
        series(
            "Images that could not be shown, each hour",
            "Each may be the only sign that a key or a file is lost: read the runbook at once.",
            "short",
            Query(
                "sum by (reason) (increase(amani_kyc_document_failures_total{amani}[1h]))",
                "{{reason}}",
            ),
            runbooks=["KycDocumentsNotShown"],
        ),
        series(
            "Images looked at, and cases decided, each day",
            "Many more looks than decisions are worth a question: *Document accesses* in the console says "
            "who looked.",
            "short",
            Query("sum(increase(amani_kyc_document_views_total{amani}[1d]))", "images looked at"),
            Query(
                "sum(increase(amani_kyc_decisions_total"
                '{amani, decision=~"approved|rejected|asked_for_more", provider="manual"}[1d]))',
                "decided by people",
            ),
        ),
    ],
)

DASHBOARD = dashboard(
    uid="amani-kyc",
    title="Amani KYC",
    description="Do people get their decision in time, and is the provider well?",
    rows=[QUEUE, PROVIDER],
    hours=24,
)
