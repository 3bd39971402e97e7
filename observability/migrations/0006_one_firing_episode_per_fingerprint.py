"""Joins the episodes of one alert that its changing start had split, then holds it to one that fires.

Both in one transaction, under a lock that lets nobody write meanwhile: a version that still runs would go on
splitting. A webhook waits for it, or is answered with 503 and sent again.
"""

from django.db import migrations, models

LOCK = "LOCK TABLE observability_episode IN SHARE ROW EXCLUSIVE MODE"

# The last moment that certainly belongs to a resolved episode, as in alerts/ingest.py.
ENDED_AT = "greatest({0}.starts_at, least({0}.ends_at, {0}.resolved_at))"

# The alert was resolved with a later start: that was the end of the episode with the earlier one too. What an
# earlier run of this migration ended is no longer the latest.
END_THE_FORGOTTEN = f"""
WITH ended AS (
    SELECT forgotten.id, max(told.ends_at) AS ends_at, max(told.resolved_at) AS resolved_at, max(told.id) AS by_id
    FROM observability_episode AS forgotten
    JOIN observability_episode AS told
      ON told.fingerprint = forgotten.fingerprint AND told.status = 'resolved' AND told.is_latest
     AND told.starts_at > forgotten.starts_at AND {ENDED_AT.format("told")} >= forgotten.starts_at
    WHERE forgotten.status = 'firing'
    GROUP BY forgotten.id
), changed AS (
    UPDATE observability_episode AS episode
    SET status = 'resolved', ends_at = coalesce(ended.ends_at, ended.resolved_at), resolved_at = ended.resolved_at
    FROM ended WHERE episode.id = ended.id
    RETURNING episode.id, episode.severity, episode.round, ended.by_id
), noted AS (
    INSERT INTO observability_episodeevent (episode_id, at, kind, text, request_id)
    SELECT id, now(), 'resolved', 'It was reported as resolved with another start, as alert ' || by_id || '.', ''
    FROM changed
)
{{close_incidents}}
"""

# Of several that fire the earliest stays; the others end, with their PagerDuty incidents.
JOIN_THE_FIRING = """
WITH firing AS (
    SELECT id, first_value(id) OVER same_alert AS kept_id,
           first_value(starts_at) OVER same_alert AS kept_start, starts_at
    FROM observability_episode WHERE status = 'firing'
    WINDOW same_alert AS (PARTITION BY fingerprint ORDER BY starts_at, id)
), others AS (
    SELECT * FROM firing WHERE id <> kept_id
), changed AS (
    UPDATE observability_episode AS episode
    SET status = 'resolved', ends_at = now(), resolved_at = now(), refired_at = NULL
    FROM others WHERE episode.id = others.id
    RETURNING episode.id, episode.severity, episode.round, others.kept_id, others.starts_at,
              episode.acknowledged_at, episode.acknowledged_by_id
), kept AS (
    UPDATE observability_episode AS episode
    SET latest_start_at = latest.starts_at,
        acknowledged_at = coalesce(episode.acknowledged_at, latest.acknowledged_at),
        acknowledged_by_id = coalesce(episode.acknowledged_by_id, latest.acknowledged_by_id)
    FROM (SELECT DISTINCT ON (kept_id) * FROM changed ORDER BY kept_id, starts_at DESC) AS latest
    WHERE episode.id = latest.kept_id
), noted AS (
    INSERT INTO observability_episodeevent (episode_id, at, kind, text, request_id)
    SELECT id, now(), 'resolved', 'Joined with alert ' || kept_id || ': the same alert with another start.', ''
    FROM changed
    UNION ALL
    SELECT kept_id, now(), 'restarted', 'Joined with alert ' || id || ': the same alert with another start.', ''
    FROM changed
)
{close_incidents}
"""

# An incident that was opened in PagerDuty under the other episode's key is closed under it.
CLOSE_INCIDENTS = """
INSERT INTO observability_delivery (
    episode_id, channel, kind, digest_of, severity, round, priority, state, reason,
    created_at, next_attempt_at, attempt_count)
SELECT changed.id, 'pagerduty', 'resolve', '', changed.severity, changed.round, 5, 'pending', '', now(), now(), 0
FROM changed
WHERE EXISTS (SELECT FROM observability_delivery AS page
              WHERE page.episode_id = changed.id AND page.channel = 'pagerduty' AND page.kind = 'trigger')
ON CONFLICT DO NOTHING
"""

MARK_THE_LATEST = """
UPDATE observability_episode AS episode SET is_latest = false
FROM (SELECT id, row_number() OVER (PARTITION BY fingerprint
                                    ORDER BY status = 'firing' DESC, starts_at DESC, id DESC) AS place
      FROM observability_episode) AS ranked
WHERE episode.id = ranked.id AND ranked.place > 1
"""

REMEMBER_WHAT_CAME_BEFORE = f"""
UPDATE observability_episode AS latest
SET previous_end_at = (SELECT max({ENDED_AT.format("earlier")}) FROM observability_episode AS earlier
                       WHERE earlier.fingerprint = latest.fingerprint AND earlier.starts_at < latest.starts_at),
    latest_start_at = nullif(greatest(latest.latest_start_at,
                                      (SELECT max(other.starts_at) FROM observability_episode AS other
                                       WHERE other.fingerprint = latest.fingerprint)), latest.starts_at)
WHERE latest.is_latest
  AND EXISTS (SELECT FROM observability_episode AS other
              WHERE other.fingerprint = latest.fingerprint AND NOT other.is_latest)
"""

STEPS = (
    LOCK,
    END_THE_FORGOTTEN.format(close_incidents=CLOSE_INCIDENTS),
    JOIN_THE_FIRING.format(close_incidents=CLOSE_INCIDENTS),
    MARK_THE_LATEST,
    REMEMBER_WHAT_CAME_BEFORE,
    # Otherwise the constraints could not be added: foreign keys are checked at the end of a transaction.
    "SET CONSTRAINTS ALL IMMEDIATE",
)


class Migration(migrations.Migration):
    dependencies = [("observability", "0005_episode_identity_columns")]

    operations = [
        migrations.RunSQL(list(STEPS), migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="episode",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_latest", True)),
                fields=("fingerprint",),
                name="one_latest_episode_per_fingerprint",
            ),
        ),
        migrations.AddConstraint(
            model_name="episode",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "firing")),
                fields=("fingerprint",),
                name="one_firing_episode_per_fingerprint",
            ),
        ),
        migrations.AddConstraint(
            model_name="episode",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("is_latest", True), models.Q(("status", "firing"), _negated=True), _connector="OR"
                ),
                name="only_the_latest_episode_fires",
            ),
        ),
        migrations.AddConstraint(
            model_name="episode",
            constraint=models.CheckConstraint(
                condition=models.Q(("unconfirmed_at__isnull", True), ("status", "firing"), _connector="OR"),
                name="only_a_firing_episode_has_an_unconfirmed_end",
            ),
        ),
    ]
