"""Which keys name a secret, whether spelled `apiKey`, `api-key`, `HTTP_X_API_KEY` or `apikey2`.

Long words are found anywhere ("passw" in `db_password_2`), short ones only as words of their own: `pin` in
`card-pin`, but neither in `pinned` nor in `mapping`.
"""

import re
from functools import lru_cache

# Only so much of a name's end is looked at, which bounds the work. No real name is longer.
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
# What is said about a secret is none: `token_count`, `password_changed_at`.
ABOUT = re.compile(
    r"_(?:count|total|length|size|type|kind|age|at|seconds|limit|expiry|expires|brand|algorithm)$"
)
# Their values have spaces, so unquoted they go on to the end of the line.
WHOLE_LINE = re.compile(r"cookie|authori[sz]ation|phrase|mnemonic")

CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
NOT_A_WORD = re.compile(r"[^A-Za-z0-9]+")


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether the value of a key of this name must be hidden, whatever it is."""
    words = words_of(name)
    return SECRET.search(words) is not None and ABOUT.search(words) is None


def takes_whole_line(name: str) -> bool:
    return WHOLE_LINE.search(words_of(name)) is not None


def words_of(name: str) -> str:
    """`X-ApiKey` as `x_api_key`."""
    humps = CAMEL_HUMP.sub("_", name[-LOOKED_AT:])
    return NOT_A_WORD.sub("_", humps).strip("_").lower()
