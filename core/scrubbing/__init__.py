"""Hides secrets and personal data in everything that leaves the process: logs, spans, Sentry events,
messages.

`scrub_text` hides what looks like a secret in free text. `scrub` walks through data, and also hides the
values of keys that name a secret. `learn` adds the configured secrets to both. No function here reads
settings or raises.
"""

from core.scrubbing.names import is_secret_name
from core.scrubbing.texts import HIDDEN, hide_secrets, scrub_text, scrubber
from core.scrubbing.values import scrub

learn = scrubber.learn

__all__ = ["HIDDEN", "hide_secrets", "is_secret_name", "learn", "scrub", "scrub_text", "scrubber"]
