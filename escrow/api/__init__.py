"""Serves /api/v1/escrows, /milestones, /payouts and /balances: one router for each resource."""
