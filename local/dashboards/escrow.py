"""Escrow and money: are the books right, does the money move, and who waits for it?"""

from local.dashboards.grafana import Limit, Query, Row, dashboard, newest, number, series


def open_of(kind: str) -> str:
    return f'job:amani_escrow_open:newest{{job="amani", object="{kind}"}}'


def oldest_of(kinds: str, states: str = ".+") -> str:
    return f'job:amani_escrow_oldest_seconds:newest{{job="amani", object=~"{kinds}", state=~"{states}"}}'


BOOKS = Row(
    "Books",
    [
        number(
            "Imbalance",
            "Sum of all entries of the ledger, in minor units. Anything but 0 has stopped releases and "
            "payouts: read the runbook at once.",
            "short",
            Query(f"sum by (currency) ({newest('amani_ledger_imbalance_minor')})", "{{currency}}"),
            runbooks=["LedgerImbalance"],
            size=(6, 4),
        ),
        number(
            "Accounts that have drifted",
            "Their balance disagrees with their entries. Releases and payouts are stopped: read the runbook.",
            "short",
            Query(f"sum({newest('amani_ledger_balance_drift_accounts')})"),
            limit=Limit(1, "LedgerDrift"),
            size=(6, 4),
        ),
        number(
            "Accounts of customers below zero",
            "The database refuses this, so a protection is gone. Releases and payouts are stopped: read the "
            "runbook.",
            "short",
            Query(f"sum({newest('amani_ledger_negative_accounts')})"),
            limit=Limit(1, "LedgerNegativeAccount"),
            size=(6, 4),
        ),
        number(
            "Age of these numbers",
            "A task of the worker checks the ledger. Older than three minutes: don't trust the numbers "
            "beside it.",
            "s",
            Query("time() - max(amani_escrow_snapshot_timestamp_seconds{amani} > 0)"),
            limit=Limit(180, "EscrowSnapshotStale"),
            size=(6, 4),
        ),
        series(
            "Funds held for escrows",
            "In minor units (kobo, cents), by currency. A step down without releases: look at the transfers.",
            "short",
            Query(f"sum by (currency) ({newest('amani_escrow_funds_held_minor')})", "{{currency}}"),
        ),
        series(
            "Money owed to customers",
            "Held, payable, refundable and in transit, in minor units. The providers must hold at least that "
            "much: compare it with their statement.",
            "short",
            Query(f"sum by (currency) ({newest('amani_escrow_liability_minor')})", "{{currency}}"),
        ),
        series(
            "Money in suspense",
            "Received, and of no escrow, in minor units. After a day: send it back, or book it.",
            "short",
            Query(f"sum by (currency) ({newest('amani_ledger_suspense_minor')})", "{{currency}}"),
            runbooks=["SuspenseNotCleared"],
        ),
        series(
            "Money is stopped",
            "1 while releases and payouts are stopped, by cause. An approver clears the stop in the console "
            "(*Money stops*), with a reason.",
            "short",
            Query(f"max by (cause) ({newest('amani_escrow_money_stopped')})", "{{cause}}"),
            runbooks=["MoneyStopped"],
            highest=1,
            size=(24, 6),
        ),
    ],
)

WAITING = Row(
    "Who waits",
    [
        series(
            "Escrows, by state",
            "Those that have not ended. Growing in one state: its next step fails, or a party is not told.",
            "short",
            Query(f"sum by (state) ({open_of('escrow')})", "{{state}}"),
            stacked=True,
        ),
        series(
            "Milestones, by state",
            "Those that have not ended. Many submitted: buyers don't answer, and they are released "
            "automatically.",
            "short",
            Query(f"sum by (state) ({open_of('milestone')})", "{{state}}"),
            stacked=True,
        ),
        series(
            "Payouts, by state",
            "Those that have not ended. `unknown`: see its age; `requested`: the worker has not sent them.",
            "short",
            Query(f"sum by (state) ({open_of('payout')})", "{{state}}"),
            stacked=True,
        ),
        series(
            "Oldest escrow and milestone, by state",
            "Ages that grow for days: look at the escrow in the console.",
            "s",
            Query(f"max by (object, state) ({oldest_of('escrow|milestone')})", "{{object}} {{state}}"),
        ),
        series(
            "Oldest payout whose outcome is not known",
            "The provider has not said what became of it. Above the line: the runbook; never pay it by hand.",
            "s",
            Query(f"max({oldest_of('payout', 'unknown')})", "unknown"),
            limit=Limit(900, "PayoutUnknown"),
        ),
        series(
            "Lateness of automatic releases",
            "Of the oldest that is due and not made. Above the line: see whether the worker runs and "
            "whether the money is stopped.",
            "s",
            Query(f"max({newest('amani_escrow_auto_release_late_seconds')})", "oldest"),
            limit=Limit(300, "AutoReleaseOverdue"),
        ),
        series(
            "Lateness of automatic releases that were made, 99th percentile",
            "From when a release was due to when it was posted. Above a minute: add workers, or see whether "
            "the database is slow.",
            "s",
            Query(
                "histogram_quantile(0.99, sum by (le) "
                "(rate(amani_escrow_auto_release_lateness_seconds_bucket{amani}[1h])))",
                "99 of 100 are faster",
            ),
            size=(24, 6),
        ),
    ],
)

MONEY = Row(
    "Money",
    [
        series(
            "Escrow transactions, each hour",
            "By type and status. No releases by day while milestones are approved: see whether the money is "
            "stopped.",
            "short",
            Query(
                "sum by (type, status) (increase(escrow_transactions_total{amani}[1h]))",
                "{{type}} {{status}}",
            ),
            size=(12, 8),
        ),
        series(
            "Uses of money that limits refused, each hour",
            "By tier and limit. A sudden rise: a limit was set too low, or users try larger amounts.",
            "short",
            Query("sum by (tier, kind) (increase(amani_limit_denied_total{amani}[1h]))", "{{tier}} {{kind}}"),
            runbooks=["LimitDeniedSpike"],
            size=(12, 8),
        ),
    ],
)

PROVIDERS = Row(
    "Payment providers",
    [
        series(
            "Requests that fail",
            "Share of the requests to a provider. Half of them for minutes: see its status page; Amani asks "
            "again and pays nothing twice.",
            "percentunit",
            Query(
                "sum by (provider, operation) "
                '(rate(amani_payment_provider_requests_total{amani, outcome!="ok"}[10m]))'
                " / sum by (provider, operation) (rate(amani_payment_provider_requests_total{amani}[10m]))",
                "{{provider}} {{operation}}",
            ),
        ),
        series(
            "Webhooks, each hour",
            "By result. `bad_signature`: a wrong key, or a stranger. None while payments are open: see the "
            "address at the provider.",
            "short",
            Query(
                "sum by (provider, result) (increase(amani_payment_events_total{amani}[1h]))",
                "{{provider}} {{result}}",
            ),
            runbooks=["PaymentSignaturesBad"],
        ),
        series(
            "Open contradictions",
            "What a provider says against what Amani has booked, and no approver has closed. Each needs a "
            "person: *Contradictions* in the console.",
            "short",
            Query(
                f"sum by (provider, kind) ({newest('amani_payment_contradictions_open')})",
                "{{provider}} {{kind}}",
            ),
            runbooks=["PaymentContradicted"],
            stacked=True,
        ),
        series(
            "Unknown statuses, each hour",
            "Answers with a status that the provider's documentation does not name. They decide nothing: the "
            "money waits until Amani knows the word.",
            "short",
            Query(
                "sum by (provider) (increase(amani_payment_unknown_statuses_total{amani}[1h]))",
                "{{provider}}",
            ),
            runbooks=["PaymentStatusUnknown"],
        ),
    ],
)

DASHBOARD = dashboard(
    uid="amani-escrow",
    title="Amani escrow and money",
    description="Are the books right, does the money move, and who waits for it?",
    rows=[BOOKS, WAITING, MONEY, PROVIDERS],
    hours=24,
)
