"""What `make run` and `make test` start on a bare machine: PostgreSQL, Valkey, Amani itself."""
