"""Creates demo escrows for development, through the real services and the sandbox bank."""

from escrow.demo.seed import seed_escrows

__all__ = ["seed_escrows"]
