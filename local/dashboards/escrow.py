"""Escrow and money: its place, and what exists of it."""

from local.dashboards.grafana import Query, Row, dashboard, series, text

COMING = (
    "Escrow is not built yet: `escrow_transactions_total` is declared and has no series. This dashboard is "
    "its place, so that links to it stay valid. With escrow come releases and payouts by state, the age of "
    "the oldest payout without a result, contradictions of providers, and the comparison of the ledger "
    "with the provider's statement."
)

MONEY = Row(
    "Money",
    [
        text("What is here, and what comes", COMING),
        series(
            "Escrow transactions, each hour",
            "By type and status. Empty until escrow is built.",
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

DASHBOARD = dashboard(
    uid="amani-escrow",
    title="Amani escrow and money",
    description="Money in transit. A place for what escrow will export.",
    rows=[MONEY],
    hours=24,
)
