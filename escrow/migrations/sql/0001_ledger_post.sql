-- The one way to write the ledger (escrow/ledger/posting.py calls it; docs/ledger.md explains each rule).
--
-- It runs with the rights of its owner, so that the application needs none on the tables. Temporary tables are
-- searched last, so that a caller cannot put one in place of a table of the ledger.
CREATE FUNCTION ledger_post(
    p_kind text,
    p_key text,
    p_account_kinds text[],
    p_owners text[],
    p_currencies text[],
    p_amounts bigint[],
    p_escrow bigint,
    p_milestone bigint,
    p_actor bigint,
    p_reason text,
    p_reverses bigint,
    p_resolves bigint,
    p_event_at timestamptz,
    p_request_id text
) RETURNS TABLE (transfer_id bigint, transfer_public_id uuid, was_known boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    v_hash bytea;
    v_known_hash bytea;
    v_count int;
    v_resolves bigint := p_resolves;
    v_original ledger_transfer;
    v_account ledger_account;
    v_accounts bigint[] := '{}';
    v_houses boolean[] := '{}';
    v_shards smallint[] := '{}';
    v_currencies text[] := '{}';
    v_amounts bigint[] := '{}';
    v_positions smallint[] := '{}';
    v_leg record;
    v_last bigint;
    v_after bigint;
    v_version bigint;
    e_positions smallint[] := '{}';
    e_accounts bigint[] := '{}';
    e_shards smallint[] := '{}';
    e_currencies text[] := '{}';
    e_amounts bigint[] := '{}';
    e_versions bigint[] := '{}';
    e_afters bigint[] := '{}';
BEGIN
    -- A reversal has the entries of what it reverses, with the opposite signs.
    IF p_reverses IS NOT NULL THEN
        SELECT * INTO v_original FROM ledger_transfer WHERE id = p_reverses;
        IF NOT FOUND OR v_original.kind = 'reversal' OR v_original.resolves_id IS NOT NULL THEN
            RAISE EXCEPTION 'Transfer % cannot be reversed.', p_reverses
                USING ERRCODE = 'check_violation', CONSTRAINT = 'a_reversal_reverses_a_transfer';
        END IF;
        SELECT array_agg(a.kind ORDER BY e.position), array_agg(a.owner ORDER BY e.position),
               array_agg(e.currency ORDER BY e.position), array_agg(-e.amount_minor ORDER BY e.position)
          INTO p_account_kinds, p_owners, p_currencies, p_amounts
          FROM ledger_entry e JOIN ledger_account a ON a.id = e.account_id
         WHERE e.transfer_id = p_reverses;
        -- To reverse a hold is to resolve it, so that it is done once, in one way or the other.
        IF v_original.kind = 'payout_requested' THEN
            v_resolves := p_reverses;
        END IF;
    END IF;

    v_count := cardinality(p_amounts);
    v_hash := sha256(convert_to(jsonb_build_array(
        p_account_kinds, p_owners, p_currencies, p_amounts, p_escrow, p_milestone, p_reverses, p_resolves
    )::text, 'UTF8'));

    -- The key comes first: of two requests with one key the second waits here, and then finds the first.
    INSERT INTO ledger_transfer (
        kind, key, request_hash, entry_count, escrow_id, milestone_id, actor_id, reason, request_id,
        reverses_id, resolves_id, event_at
    ) VALUES (
        p_kind, p_key, v_hash, v_count, p_escrow, p_milestone, p_actor, p_reason, p_request_id,
        p_reverses, v_resolves, p_event_at
    )
    ON CONFLICT (kind, key) DO NOTHING
    RETURNING id, public_id INTO transfer_id, transfer_public_id;
    IF NOT FOUND THEN
        SELECT t.id, t.public_id, t.request_hash INTO transfer_id, transfer_public_id, v_known_hash
          FROM ledger_transfer t WHERE t.kind = p_kind AND t.key = p_key;
        IF v_known_hash <> v_hash THEN
            RAISE EXCEPTION 'The key % of kind % was used for another request.', p_key, p_kind
                USING ERRCODE = 'unique_violation', CONSTRAINT = 'a_key_asks_for_one_thing';
        END IF;
        was_known := true;
        RETURN NEXT;
        RETURN;
    END IF;

    -- A hold is resolved by taking out of transit exactly what it had put there.
    IF p_resolves IS NOT NULL AND NOT EXISTS (
        SELECT FROM ledger_transfer t
          JOIN ledger_entry e ON e.transfer_id = t.id
          JOIN ledger_account a ON a.id = e.account_id AND a.kind = 'payout_in_transit'
          JOIN unnest(p_account_kinds, p_owners, p_currencies, p_amounts) AS l (kind, owner, currency, amount)
            ON l.kind = a.kind AND l.owner = a.owner AND l.currency = a.currency AND l.amount = -e.amount_minor
         WHERE t.id = p_resolves AND t.kind = 'payout_requested' AND p_kind IN ('payout_settled', 'payout_failed')
    ) THEN
        RAISE EXCEPTION 'Transfer % does not resolve the hold %.', p_key, p_resolves
            USING ERRCODE = 'check_violation', CONSTRAINT = 'a_resolution_takes_what_the_hold_put';
    END IF;

    -- Accounts are opened in one order, so that two first postings never wait for each other.
    FOR v_leg IN
        SELECT l.* FROM unnest(p_account_kinds, p_owners, p_currencies, p_amounts)
               WITH ORDINALITY AS l (kind, owner, currency, amount, position)
         ORDER BY l.owner, l.kind, l.currency
    LOOP
        SELECT * INTO v_account FROM ledger_account a
         WHERE a.owner = v_leg.owner AND a.kind = v_leg.kind AND a.currency = v_leg.currency;
        IF NOT FOUND THEN
            INSERT INTO ledger_account (kind, owner, currency, is_house, shards)
            SELECT k.kind, v_leg.owner, v_leg.currency, k.is_house, k.shards
              FROM ledger_account_kind k WHERE k.kind = v_leg.kind
            ON CONFLICT (owner, kind, currency) DO NOTHING;
            SELECT * INTO v_account FROM ledger_account a
             WHERE a.owner = v_leg.owner AND a.kind = v_leg.kind AND a.currency = v_leg.currency;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'The chart has no account of kind %.', v_leg.kind
                    USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'an_account_is_of_a_kind_in_the_chart';
            END IF;
            INSERT INTO ledger_balance (account_id, shard, currency, floor_minor)
            SELECT v_account.id, s, v_account.currency, k.floor_minor
              FROM ledger_account_kind k, generate_series(0, v_account.shards - 1) s
             WHERE k.kind = v_account.kind
            ON CONFLICT (account_id, shard) DO NOTHING;
        END IF;
        v_accounts := v_accounts || v_account.id;
        v_houses := v_houses || v_account.is_house;
        v_shards := v_shards || (pg_backend_pid() % v_account.shards)::smallint;
        v_currencies := v_currencies || v_leg.currency;
        v_amounts := v_amounts || v_leg.amount;
        v_positions := v_positions || v_leg.position::smallint;
    END LOOP;

    -- Balances are locked in one order, those of the house last, so that transfers never wait in a circle. A
    -- session keeps to one shard of a house account, so two sessions rarely meet there.
    FOR v_leg IN
        SELECT l.* FROM unnest(v_accounts, v_houses, v_shards, v_currencies, v_amounts, v_positions)
               AS l (account_id, is_house, shard, currency, amount, position)
         ORDER BY l.is_house, l.account_id
    LOOP
        IF v_leg.account_id = v_last THEN
            RAISE EXCEPTION 'Two legs are of account %.', v_last
                USING ERRCODE = 'unique_violation', CONSTRAINT = 'a_transfer_names_an_account_once';
        END IF;
        v_last := v_leg.account_id;
        UPDATE ledger_balance b
           SET posted_minor = b.posted_minor + v_leg.amount, version = b.version + 1
         WHERE b.account_id = v_leg.account_id AND b.shard = v_leg.shard
        RETURNING b.posted_minor, b.version INTO v_after, v_version;
        e_positions := e_positions || v_leg.position;
        e_accounts := e_accounts || v_leg.account_id;
        e_shards := e_shards || v_leg.shard;
        e_currencies := e_currencies || v_leg.currency;
        e_amounts := e_amounts || v_leg.amount;
        e_versions := e_versions || v_version;
        e_afters := e_afters || v_after;
    END LOOP;

    INSERT INTO ledger_entry (
        transfer_id, position, account_id, shard, currency, amount_minor, version,
        balance_before_minor, balance_after_minor
    )
    SELECT transfer_id, e.position, e.account_id, e.shard, e.currency, e.amount, e.version,
           e.after - e.amount, e.after
      FROM unnest(e_positions, e_accounts, e_shards, e_currencies, e_amounts, e_versions, e_afters)
           AS e (position, account_id, shard, currency, amount, version, after);

    was_known := false;
    RETURN NEXT;
END
$function$;

-- Roles that may use the ledger are granted it by name (docs/ledger.md, "Rights").
REVOKE ALL ON FUNCTION ledger_post(
    text, text, text[], text[], text[], bigint[], bigint, bigint, bigint, text, bigint, bigint, timestamptz, text
) FROM PUBLIC;
