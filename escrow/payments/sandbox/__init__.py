"""The sandbox bank (local/bank/): a provider that a person plays, over real HTTP, with signed webhooks."""
