"""Silences: rows of what operators ask of Alertmanager, which leased work makes true and a watch compares."""
