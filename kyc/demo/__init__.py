"""Creates demo users and KYC cases for development; all data is invented, all images are drawn."""

from kyc.demo.seed import Team, seed_cases

__all__ = ["Team", "seed_cases"]
