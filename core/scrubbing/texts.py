"""Hides what looks like a secret in free text.

A harmless text costs one search. No pattern here can begin a long match at many places of a text, so the time
grows with the length of the text and not with its square.
"""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

from core.scrubbing import numbers
from core.scrubbing.names import is_secret_name
from core.scrubbing.numbers import HIDDEN as HIDDEN
from core.scrubbing.pairs import hide_pairs

# Of a longer text only the beginning and the end are kept. They are short enough that a text that became
# longer by scrubbing (a value of one character becomes ten) is not cut again.
LONGEST = 40_000
KEPT_OF_BEGINNING = 8_000
KEPT_OF_END = 2_000
LONGEST_WORD_AT_CUT = 400
OF_NUMBERS = "0123456789 ()+.-\u00a0"
# Texts found harmless by the second, slower search; many are seen again (a rule's labels in all its alerts).
LONGEST_REMEMBERED = 500
MOST_REMEMBERED = 2_000
MOST_PASSES = 8  # hiding one secret can make another recognizable; usually two passes are enough

# A shorter secret, or one short plain word, is probably an ordinary word: to hide it everywhere would make
# the logs unreadable.
SHORTEST_LEARNED = 8
SHORTEST_PLAIN_WORD = 16

KEY_BLOCK = (
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END)[\s\S])*+(?:-----END [A-Z0-9 ]*-----)?"
)
# Error messages of databases, Django and Python about a value of the wrong type contain the value.
FAILING_ROW = r"Failing row contains \([^\n]*"
WRONG_VALUE = (
    r"((?:invalid input (?:syntax|value) for|malformed|value out of range)[^\"\n]{0,80}: \\*)\"[^\n]*"
)
WRONG_LITERAL = (
    r"(expected a number but got |invalid literal for int\(\) with base \d{1,2}: "
    r"|could not convert string to float: )\\*(?:\"[^\"\n]*\"?|'(?:\\.|[^'\\\n])*+'?)"
)
WRONG_CHOICE = r"\u201c[^\u201d\n]*\u201d(?= (?:value |is not ))"
LINE_OF_SQL = r"(?m)^(LINE \d+: )(?=[^\n]*')[^\n]*"
OF_RESET_LINK = r"(?:(?<=/)|(?<![\w-])(?=[a-z]*\d))[0-9a-z]{6}-[0-9a-f]{32}(?![\w-])"  # Django's
JWT = r"(?<![\w-])eyJ[\w-]{8,}+(?:\.[\w-]*+){0,4}"
VENDOR_KEY = (
    r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{12,}+|(?<![A-Za-z0-9])AIza[\w-]{30,}+"
    r"|(?<![A-Za-z0-9])SG\.[\w-]{16,}+\.[\w-]{16,}+|(?<![A-Za-z0-9])(?:FLWSECK|FLWPUBK)[\w-]{8,}+"
)
PREFIXED_KEY = (
    r"(?<![A-Za-z0-9])((?:sk|pk|rk|whsec|sec|secret)_(?:live|test|prod)_|whsec_|sk-(?:ant-|proj-)?(?=[\w-]{16})"
    r"|gh[pousr]_(?=\w{16})|github_pat_|glpat-|sntry[su]_|npm_(?=\w{20})|hf_(?=\w{20})|pypi-(?=[\w-]{20})"
    r"|(?i:xox[a-z]-|xapp-))[\w-]+"
)
WEBHOOK = r"(?i)(hooks\.slack(?:-gov)?\.com(?:(?:\\?/)++|%2f))[^\s\"'<>\[]+"
SCHEME = r"(?i)\b(bearer)(\s{1,3})[\w.~+/=-]{8,}"
BASIC = r"\b((?i:basic))(\s{1,3})(?![A-Z]?[a-z]+\b)[\w.~+/=-]{8,}"
USERINFO = r"(:(?:\\?/){2}|%3[Aa]%2[Ff]%2[Ff])[^\s/?#\"'<>@]*+(?:@[^\s/?#\"'<>@]*+)*@"
E_MAIL = r"(?<![\w.+-])(?!celery@)[\w.+-]++(?:@|%40)(?:[\w-]++\.)+[^\W\d_]{2,}"
NAMED_CODE = (
    r"(?i)(?<![a-z])((?:otp|pin|cvv2?|cvc2?|passcode|(?:verification|security|one[- ]?time)[ ]code)\b"
    r"[ \t]{0,2}(?:is|was|:|=|\#)?[ \t]{0,2})\d{3,8}(?![\w.]\d|\w)"
)
NAMED_VALUE = (  # "the password is hunter2", "secret s3cr3t": only values with a digit
    r"(?i)(?<![a-z])((?:pass(?:word|code|phrase|wd)|secret|token|api[ _-]key)\s(?:is\s|was\s)?[\"']?)"
    r"(?=[^\s\"',;]*\d)(?=[^\s\"',;]*[a-z])[^\s\"',;\[=:]{6,}"
)
KEY_OF_ROW = re.compile(
    r"(Key \()([^()\n]*+)(\)=\()([^\n]*?)(\) (?:already|is |conflicts )|\)?$)", re.MULTILINE
)

NOTHING = re.compile(r"(?!)")
PATTERNS = (
    (re.compile(KEY_BLOCK), HIDDEN),
    (re.compile(FAILING_ROW), f"Failing row contains ({HIDDEN})"),
    (re.compile(WRONG_VALUE), rf'\1"{HIDDEN}"'),
    (re.compile(WRONG_LITERAL), rf"\1'{HIDDEN}'"),
    (re.compile(WRONG_CHOICE), f"\u201c{HIDDEN}\u201d"),
    (re.compile(LINE_OF_SQL), rf"\1{HIDDEN}"),
    (re.compile(OF_RESET_LINK), HIDDEN),
    (re.compile(WEBHOOK), rf"\1{HIDDEN}"),
    (re.compile(USERINFO), rf"\1{HIDDEN}@"),
    (re.compile(SCHEME), rf"\1\2{HIDDEN}"),
    (re.compile(BASIC), rf"\1\2{HIDDEN}"),
    (re.compile(PREFIXED_KEY), rf"\1{HIDDEN}"),
    (re.compile(f"{JWT}|{VENDOR_KEY}"), HIDDEN),
    (re.compile(NAMED_CODE), rf"\1{HIDDEN}"),
    (re.compile(NAMED_VALUE), rf"\1{HIDDEN}"),
    (re.compile(E_MAIL), HIDDEN),
)


# --- Quick checks. Each of the two searches finds at least every text that a pattern would change (tested)
# ---


def any_of(words: Iterable[str]) -> str:
    """Returns a pattern for all of `words` in any case.

    It is grouped by first letters, which makes `re` faster.
    """
    by_first: dict[str, list[str]] = {}
    for word in words:
        by_first.setdefault(word[:1].lower(), []).append(re.escape(word[1:]))
    return "|".join(
        f"[{re.escape(first)}{re.escape(first.upper())}](?i:{'|'.join(rests)})"
        for first, rests in by_first.items()
    )


NAME_PARTS = (
    "passw passp passc credential csrf xsrf auth mnemonic key num nr no code session birth token secret "
    "cookie signature pwd jwt pin otp cvv cvc csc bvn nin ssn pan iban nuban dsn bearer dob phrase sig card "
    "account phone mobile telephone msisdn mail"
)
NAMES = any_of(NAME_PARTS.split())
EIGHT_DIGITS = rf"\d(?:[()]?{numbers.GAP}{{0,2}}[()]?\d){{7}}"
IBAN_LIKE = r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?:[ -]?[A-Za-z0-9]){11}"
KEY_LIKE = (
    r"(?<![A-Za-z0-9])(?:eyJ|AKIA|ASIA|AIza|SG\.|FLW|[sprw]k[_-]|whsec|sec(?:ret)?_|gh[pousr]_|github_pat|glpat-|sntry"
    r"|npm_|hf_|pypi-|(?i:xox[a-z]-|xapp-))|[hH](?i:ooks\.slack)"
)
# Words, paths and short numbers contain none of this.
UNUSUAL = rf"[^\w./-]|{EIGHT_DIGITS}|{IBAN_LIKE}|{KEY_LIKE}|{OF_RESET_LINK}|--[A-Za-z]"
SUSPICIOUS = re.compile(
    "|".join(
        (
            "@|%40|-----BEGIN|Failing row|invalid |malformed|value out|number but|could not|LINE |\u201c",
            OF_RESET_LINK,
            EIGHT_DIGITS,
            IBAN_LIKE,
            KEY_LIKE,
            r"--[A-Za-z]|[bB](?i:asic|earer)\s",
            rf"(?:{NAMES})[\w-]{{0,60}}+[^\w\n=:!>,%]{{0,9}}[=:!>,%]",
            r"[oOpPcC](?i:tp|in|v[vc]2?|asscode|ode)\b[^\n]{0,8}\d{3}",
            r"[pPsStTkK](?i:assw|assc|assphr|ecret|oken|ey)\w{0,4}\s",
        )
    )
)


class Scrubber:
    """Hides the configured secrets and everything that looks like a secret.

    `is_unusual(text)` is the first check; a harmless text costs only this call.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.spelled: set[str] = set()
        self.harmless: set[str] = set()
        self.learned = NOTHING
        self.is_unusual = re.compile(UNUSUAL).search

    def learn(self, secrets: Iterable[str]) -> None:
        """Hides these secrets too, in every usual spelling, except those shorter than SHORTEST_LEARNED."""
        self.spelled |= spellings(filter(is_worth_learning, secrets))
        if self.spelled:
            either = any_of(longest_first(self.spelled))
            self.learned = re.compile(either)
            self.is_unusual = re.compile(f"{UNUSUAL}|{either}").search
        self.harmless.clear()

    def scrub_text(self, text: str) -> str:
        """Returns `text` without secrets; of more than LONGEST characters only the beginning and the end."""
        if text in self.harmless or (self.is_unusual(text) is None and len(text) <= LONGEST):
            return text
        if len(text) > LONGEST:
            text = without_middle(text)
        if SUSPICIOUS.search(text) is None and self.learned.search(text) is None:
            self.remember_harmless(text)
            return text
        for _ in range(MOST_PASSES):
            scrubbed = self.scrub_once(text)
            if scrubbed == text:
                break
            text = scrubbed
        return text

    def remember_harmless(self, text: str) -> None:
        if len(self.harmless) >= MOST_REMEMBERED:
            self.harmless.clear()
        if len(text) <= LONGEST_REMEMBERED:
            self.harmless.add(text)

    def scrub_once(self, text: str) -> str:
        text = self.learned.sub(HIDDEN, text)
        for pattern, replacement in PATTERNS:
            text = pattern.sub(replacement, text)
        text = KEY_OF_ROW.sub(hide_key_of_row, text)
        return numbers.hide_numbers(hide_pairs(text))


def hide_key_of_row(match: re.Match[str]) -> str:
    """Hides the values in PostgreSQL's message about a duplicate, if a column is secret.

    The message: `Key (phone, country)=(0803…, NG) already exists.`
    """
    columns = match[2].split(",")
    if not any(is_secret_name(column.strip()) for column in columns):
        return match[0]
    return f"{match[1]}{match[2]}{match[3]}{HIDDEN}{match[5]}"


def without_middle(text: str) -> str:
    """Returns the beginning and the end of a long text. It is cut between words and not within a number: half
    of a secret could not be recognized."""
    beginning, end = text[:KEPT_OF_BEGINNING], text[-KEPT_OF_END:]
    last_space = max(beginning.rfind(" "), beginning.rfind("\n"))
    if last_space >= KEPT_OF_BEGINNING - LONGEST_WORD_AT_CUT:
        beginning = beginning[:last_space]
    spaces = [place for place in (end.find(" "), end.find("\n")) if place >= 0]
    end = end[min(spaces) :] if spaces else ""
    beginning, end = beginning.rstrip(OF_NUMBERS), end.lstrip(OF_NUMBERS)
    return f"{beginning} … {len(text) - len(beginning) - len(end)} characters left out … {end}"


def hide_secrets(text: str, secrets: Iterable[str]) -> str:
    """Returns `text` without `secrets` in any usual spelling."""
    return pattern_of(tuple(secrets)).sub(HIDDEN, text)


@lru_cache(maxsize=32)
def pattern_of(secrets: tuple[str, ...]) -> re.Pattern[str]:
    """Returns a pattern that finds `secrets` in any usual spelling."""
    spelled = spellings(secrets)
    return re.compile(any_of(longest_first(spelled))) if spelled else NOTHING


def is_worth_learning(secret: str) -> bool:
    is_plain_word = secret.isalpha() and len(secret) < SHORTEST_PLAIN_WORD
    return len(secret) >= SHORTEST_LEARNED and not is_plain_word


def spellings(secrets: Iterable[str]) -> set[str]:
    """Returns each secret as it is, as in a URL, in JSON (also PHP's) and in Python's repr."""
    spelled: set[str] = set()
    for secret in filter(None, secrets):
        in_json = json.dumps(secret)[1:-1]
        in_url = quote(secret, safe="", errors="replace"), quote(secret, errors="replace")
        spelled |= {secret, *in_url, in_json, in_json.replace("/", "\\/")}
        spelled |= {json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    return spelled


def longest_first(spelled: Iterable[str]) -> list[str]:
    """Sorts longer spellings before shorter ones, because some contain others."""
    return sorted(spelled, key=lambda one: (-len(one), one))


scrubber = Scrubber()
scrub_text = scrubber.scrub_text
