-- What Django's models cannot say about the tables of the ledger.

ALTER TABLE ledger_balance
    ADD CONSTRAINT a_balance_has_the_currency_of_its_account
    FOREIGN KEY (account_id, currency) REFERENCES ledger_account (id, currency),
    SET (fillfactor = 60);

ALTER TABLE ledger_entry
    ADD CONSTRAINT an_entry_has_the_currency_of_its_account
    FOREIGN KEY (account_id, currency) REFERENCES ledger_account (id, currency);

-- Entries come in one statement for each transfer, all of them, with sum zero, and as the balances say.
CREATE FUNCTION ledger_entries_are_whole() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
AS $function$
DECLARE
    v_transfer bigint;
BEGIN
    SELECT e.transfer_id INTO v_transfer FROM written e GROUP BY e.transfer_id, e.currency
    HAVING sum(e.amount_minor) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'The entries of transfer % do not add up to zero.', v_transfer
            USING ERRCODE = 'check_violation', CONSTRAINT = 'a_transfer_sums_to_zero';
    END IF;
    SELECT e.transfer_id INTO v_transfer
      FROM written e
      JOIN ledger_transfer t ON t.id = e.transfer_id
      JOIN ledger_balance b ON b.account_id = e.account_id AND b.shard = e.shard
     GROUP BY e.transfer_id, t.entry_count
    HAVING count(*) <> t.entry_count OR max(e.position) <> t.entry_count OR min(e.position) < 1
        OR bool_or(b.version <> e.version OR b.posted_minor <> e.balance_after_minor) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'The entries of transfer % are not whole, or disagree with the balances.', v_transfer
            USING ERRCODE = 'check_violation', CONSTRAINT = 'a_transfer_has_all_its_entries';
    END IF;
    RETURN NULL;
END
$function$;

CREATE TRIGGER entries_are_whole AFTER INSERT ON ledger_entry
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_entries_are_whole();
