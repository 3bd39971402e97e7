"""Posts to the ledger from several processes, kills them and PostgreSQL, and counts the lost."""
