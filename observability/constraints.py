"""What is answered when two requests store the same episode, delivery or channel at the same instant."""

from __future__ import annotations

from core import constraints
from core.constraints import AGAIN, taken
from observability.alerts.errors import RuleChangedMeanwhile


def register() -> None:
    constraints.register(
        {
            "one_episode_per_fingerprint_and_start": AGAIN,
            "one_firing_episode_per_fingerprint": AGAIN,
            "one_latest_episode_per_fingerprint": AGAIN,
            "one_page_per_episode_and_channel": taken(
                "This message was sent again at this moment by another operator. Look at the deliveries."
            ),
            "attempts_are_numbered_once": AGAIN,
            "changes_of_a_rule_have_their_own_version": RuleChangedMeanwhile,
            "groups_of_rules_have_their_own_name": AGAIN,
            "rules_of_a_group_have_their_own_key": AGAIN,
            "routes_have_their_own_name": AGAIN,
            "a_route_has_one_condition_for_each_label": AGAIN,
            "a_route_has_one_step_for_each_time": AGAIN,
            "a_step_is_taken_once_for_each_round": AGAIN,
            "versions_of_rules_have_their_own_number": AGAIN,
            "one_version_of_rules_is_published": AGAIN,
            "one_version_of_rules_waits": AGAIN,
            "one_version_of_rules_is_being_published": AGAIN,
            "silences_have_their_own_key": AGAIN,
            "one_silence_for_each_occurrence": AGAIN,
            "a_silence_hides_an_alert_once_at_a_time": AGAIN,
            "one_row_per_silence_of_alertmanager": AGAIN,
            "one_preview_at_a_time_per_operator": AGAIN,
            "observability_channel_pkey": AGAIN,
            "observability_heartbeat_pkey": AGAIN,
            "observability_servedrules_pkey": AGAIN,
        }
    )
