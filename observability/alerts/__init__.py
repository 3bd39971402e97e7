"""Notifies operators from code: `send_alert`, `send_slack_alert`, `send_pagerduty_alert`.

These functions write rows in the caller's transaction, and return without waiting for Slack or PagerDuty; the
worker delivers. When the transaction is rolled back, no notification is sent.

    send_slack_alert(message="Payout file is late", severity="warning", context={"bank": "…"})

The parts:

- `intake` receives the webhook: `payload` reads its body, `ingest` stores it;
- `episodes` has the actions of operators: acknowledge, note, resend;
- `delivery` sends notifications to the channels;
- `confirming`, `reopening`, `trust` and `watchdog` check whether what Alertmanager reports is complete;
- `pipeline` runs these checks and raises Amani's own alerts.
"""

from observability.alerts.messages import send_alert, send_pagerduty_alert, send_slack_alert

__all__ = ["send_alert", "send_pagerduty_alert", "send_slack_alert"]
