"""Believable people and cases to look at in development: all made up, their images drawn."""

from kyc.demo.seed import Team, seed_cases

__all__ = ["Team", "seed_cases"]
