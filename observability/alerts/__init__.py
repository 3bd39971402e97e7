"""Tell operators something from code: `send_alert`, `send_slack_alert`, `send_pagerduty_alert`.

They write rows in the caller's transaction (rolled back with it) and return at once; the worker delivers.

    send_slack_alert(message="Payout file is late", severity="warning", context={"bank": "…"})

The parts: `payload` reads a webhook's body, `ingest` stores it, `intake` is the view, `episodes` what
operators do, `outbox` and `delivery` who is told and how, `pipeline` the watch over all of it, `doorbell`
wakes the worker.
"""

from observability.alerts.messages import send_alert, send_pagerduty_alert, send_slack_alert

__all__ = ["send_alert", "send_pagerduty_alert", "send_slack_alert"]
