"""One scrubber for everything that leaves the process: logs, spans, Sentry events, messages, stored answers.

`scrub_text` hides what looks like a secret in free text, `scrub` walks through data and also hides what a
key names. `learn` tells both of the configured secrets. Pure: reads no settings, never raises.
"""

from core.scrubbing.names import is_secret_name
from core.scrubbing.texts import HIDDEN, hide_secrets, scrub_text, scrubber
from core.scrubbing.values import scrub

learn = scrubber.learn

__all__ = ["HIDDEN", "hide_secrets", "is_secret_name", "learn", "scrub", "scrub_text", "scrubber"]
