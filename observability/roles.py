"""What operators may do with alerts: the names of the permissions, and the roles that have them."""

from __future__ import annotations

from core import roles

VIEW_EPISODE = "observability.view_episode"
VIEW_DELIVERY = "observability.view_delivery"
VIEW_RECEIPT = "observability.view_receipt"
VIEW_CHANNEL = "observability.view_channel"
VIEW_HEARTBEAT = "observability.view_heartbeat"
ACKNOWLEDGE_EPISODE = "observability.acknowledge_episode"
NOTE_EPISODE = "observability.note_episode"
MARK_EPISODE = "observability.mark_episode"
VIEW_RULE = "observability.view_alertrule"
VIEW_RULES_VERSION = "observability.view_rulesversion"
TUNE_RULE = "observability.tune_alertrule"
VIEW_ROUTE = "observability.view_route"
EDIT_ROUTE = "observability.edit_route"
RESEND_DELIVERY = "observability.resend_delivery"
REPROCESS_RECEIPT = "observability.reprocess_receipt"
VIEW_SILENCE = "observability.view_silence"
VIEW_WINDOW = "observability.view_silencewindow"
MANAGE_SILENCE = "observability.manage_silence"

# What the start page of the console shows.
SEE_STATE_OF_ALERTS = frozenset({VIEW_EPISODE, VIEW_DELIVERY, VIEW_RECEIPT, VIEW_CHANNEL, VIEW_HEARTBEAT})
SEE_RULES = frozenset({VIEW_RULE, VIEW_RULES_VERSION})
SEE_ROUTES = frozenset({VIEW_ROUTE, "observability.view_routechange"})
SEE_HISTORY = frozenset({"observability.view_episodeevent", "observability.view_attempt"})
SEE = SEE_STATE_OF_ALERTS | SEE_RULES | SEE_ROUTES | SEE_HISTORY
SEE_SILENCES = frozenset(
    {VIEW_SILENCE, "observability.view_silenceevent", "observability.view_suppression", VIEW_WINDOW}
)
ACT = frozenset({ACKNOWLEDGE_EPISODE, NOTE_EPISODE, MARK_EPISODE, RESEND_DELIVERY, REPROCESS_RECEIPT})


def register() -> None:
    for role in ("viewer", "responder", "finance", "approver"):
        roles.grant(role, SEE | SEE_SILENCES, "sees alerts")
    roles.grant("responder", ACT, "acts on alerts")
    roles.grant("responder", {MANAGE_SILENCE}, "silences alerts")
    roles.grant("approver", {TUNE_RULE}, "tunes alert rules")
    roles.grant("approver", {EDIT_ROUTE}, "changes who is notified of alerts")
