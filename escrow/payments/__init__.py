"""Money that comes in and goes out: providers, collections, payouts, and what providers report."""
