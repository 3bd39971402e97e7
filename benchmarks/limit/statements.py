"""The limit's tables, and the one statement that stores a payload."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS alert (
    id bigserial PRIMARY KEY, fingerprint text UNIQUE NOT NULL, status text NOT NULL,
    starts_at timestamptz NOT NULL, labels jsonb NOT NULL, annotations jsonb NOT NULL,
    updated_at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS event (
    id bigserial PRIMARY KEY, alert_id bigint NOT NULL, status text NOT NULL, at timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
    id bigserial PRIMARY KEY, alert_id bigint NOT NULL, status text NOT NULL, sent_at timestamptz);
CREATE INDEX IF NOT EXISTS outbox_unsent ON outbox (id) WHERE sent_at IS NULL;
"""

# In the order in which the relay locks them: to empty them in another could be a deadlock.
TABLES = ("outbox", "event", "alert")

STORE = """
WITH incoming AS (
    SELECT alert ->> 'fingerprint' AS fingerprint, alert ->> 'status' AS status,
           (alert ->> 'startsAt')::timestamptz AS starts_at,
           alert -> 'labels' AS labels, alert -> 'annotations' AS annotations
    FROM jsonb_array_elements(%s::jsonb -> 'alerts') AS alert
), known AS (
    SELECT fingerprint, alert.status FROM alert JOIN incoming USING (fingerprint)
), stored AS (
    INSERT INTO alert (fingerprint, status, starts_at, labels, annotations, updated_at)
    SELECT fingerprint, status, starts_at, labels, annotations, now() FROM incoming ORDER BY fingerprint
    ON CONFLICT (fingerprint) DO UPDATE SET status = EXCLUDED.status, updated_at = EXCLUDED.updated_at
    RETURNING id, fingerprint, status
), changed AS (
    SELECT stored.* FROM stored LEFT JOIN known USING (fingerprint)
    WHERE known.status IS DISTINCT FROM stored.status
), history AS (
    INSERT INTO event (alert_id, status, at) SELECT id, status, now() FROM changed
), planned AS (
    INSERT INTO outbox (alert_id, status) SELECT id, status FROM changed RETURNING 1
)
SELECT count(*) FROM planned
"""
