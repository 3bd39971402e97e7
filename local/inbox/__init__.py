"""Stands in for Slack and PagerDuty in `make run`: takes what they would take, shows it on one page.

    python -m local.inbox 8025

Keeps the newest messages in memory, nothing on disk; listens on 127.0.0.1 only. `vendors` is what the two
answer, `cards` what is read out of a message, `page` how it looks, `server` the HTTP around them.
"""

from local.ports import LOOPBACK

# Of no use anywhere else, and long enough to be found where it should not be.
ROUTING_KEY = "only-for-the-inbox-of-make-run"


def settings(port: int) -> dict[str, str]:
    """What makes Amani and Alertmanager send to the inbox on `port`."""
    return {
        "SLACK_WEBHOOK_URL": f"http://{LOOPBACK}:{port}/slack",
        "PAGERDUTY_API_KEY": ROUTING_KEY,
        "PAGERDUTY_EVENTS_URL": f"http://{LOOPBACK}:{port}/pagerduty",
    }
