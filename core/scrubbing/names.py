"""Decides which keys name a secret, in any spelling: `apiKey`, `api-key`, `HTTP_X_API_KEY`, `apikey2`.

Long words are found anywhere ("passw" in `db_password_2`). Short ones are found only as separate words: `pin`
in `card-pin`, but neither in `pinned` nor in `mapping`.
"""

import re
from functools import lru_cache

# Only this many characters at the end of a name are searched, to limit the work. No real name is longer.
LOOKED_AT = 60

SECRET = re.compile(
    r"""
    passw | passphrase | passcode | passport | credential | [cx]srf | authori[sz]ation(?!_?url) | mnemonic
    | (?:api|access|private|secret|signing|encryption|routing|integration|service|session|master
        |verification|reset|confirmation)
      _?keys?(?![a-z])
    | (?:account|acct|card|bank|phone|mobile|telephone|passport|licen[cs]e|national|tax|identity)
      _?(?:number|num|nr|no|nos|id_number)(?![a-z])
    | (?:security|verification|auth|sort|reset|confirmation|recovery|backup|unused|one_?time|log_?in|sign_?in
        |mfa)
      _?codes?(?![a-z])
    | session_?(?:id|data|hash) | date_?of_?birth | birth_?da(?:te|y)
    | (?:tokens?|secrets?|cookies?|signature|pwd|jwt)\d*(?=_|$)
    | (?:^|_)(?:pin|t?otp|cvv2?|cvc2?|csc|bvn|nin|ssn|pan|iban|nuban|dsn|bearer|dob|seed_phrase)s?\d*(?=_|$)
    | (?:^|_)(?:session|auth|sig|card|bank_account|phone|mobile|telephone|msisdn|e_?mail(?:_address)?)s?\d*$
    """,
    re.VERBOSE,
)
# Facts about a secret are not secret: `token_count`, `password_changed_at`.
ABOUT = re.compile(
    r"_(?:count|total|length|size|type|kind|age|at|seconds|limit|expiry|expires|brand|algorithm)$"
)
# Their values contain spaces, so an unquoted one ends at the end of the line.
WHOLE_LINE = re.compile(r"cookie|authori[sz]ation|phrase|mnemonic")

CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
NOT_A_WORD = re.compile(r"[^A-Za-z0-9]+")


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether every value of a key of this name must be hidden."""
    words = words_of(name)
    return SECRET.search(words) is not None and ABOUT.search(words) is None


def takes_whole_line(name: str) -> bool:
    """Whether an unquoted value of this name ends only at the end of the line."""
    return WHOLE_LINE.search(words_of(name)) is not None


def words_of(name: str) -> str:
    """Returns a name in one spelling: `X-ApiKey` becomes `x_api_key`."""
    humps = CAMEL_HUMP.sub("_", name[-LOOKED_AT:])
    return NOT_A_WORD.sub("_", humps).strip("_").lower()
