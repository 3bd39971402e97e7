"""Hides numbers of persons: cards and IBANs (found by their checksums), bank accounts, BVN and NIN, phones.

Digits inside a longer token (an id, a hash, a version, a decimal) are kept.
"""

import re

HIDDEN = "[redacted]"

# A number is not next to a letter, digit or underscore, unless they are the end of a %XX in a URL.
START = r"(?:(?<![\w%])|(?<=%[0-9A-Fa-f]{2}))"
END = r"(?![^\W_]|_)"
GAP = r"[ .\u00a0\u2007\u2009\u202f\u2010-\u2015-]"

# Bank accounts (NUBAN, 10 digits), BVN and NIN (11): separate, without gaps, and not followed by a unit.
UNIT = r"[ ]?(?:bytes|B|ns|us|\u00b5s|ms|s|seconds)\b"
ACCOUNT = (
    rf"{START}(?<![A-Za-z]-)(?<!\d\.)(?:0\d{{9,10}}|[1-9]\d{{9,10}}(?!\d|{UNIT})){END}(?!\.\d|-[A-Za-z])"
)
# The same after a word that names it, with any gaps.
NAMED_ACCOUNT = (
    r"(?<![A-Za-z])(?i:bvn|nin|nuban|acct|account|a/c)(?:\W{0,3}(?:no|num|number)\b)?[\W_]{0,4}"
    rf"\d(?:{GAP}?\d){{9,10}}{END}"
)
PHONE = (
    rf"(?<![\w+])(?:\+|%2[Bb])\(?[1-9](?:[ .()\u00a0-]{{0,2}}\d){{7,14}}{END}"  # E.164
    # Nigerian
    rf"|{START}(?:(?:00)?234{GAP}?(?:\(0\){GAP}?)?|\(?0)[789][01](?:[ .()\u00a0-]{{0,2}}\d){{8}}{END}"
    rf"|{START}00[1-9]\d{{8,13}}{END}"
    rf"|{START}(?:\(\d{{3}}\)[ ]?\d{{3}}[ .-]\d{{4}}|\d{{3}}([.-])\d{{3}}\1\d{{4}}){END}"  # North American
)
CARD_RUN = rf"{START}(?<!\d\.)\d{{4,19}}(?:{GAP}{{1,2}}\d{{1,7}})*{END}"

# Every country of the IBAN registry with the length of its numbers.
IBAN_COUNTRIES = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 "
    "DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 "
    "IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 "
    "MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 "
    "SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30 "
)
IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in IBAN_COUNTRIES.split()}
IBAN = (
    rf"(?<![A-Za-z0-9])(?i:{'|'.join(IBAN_LENGTHS)})\d{{2}}"
    r"(?:[ -]?[A-Za-z0-9]){11,29}"
)

CARDS = re.compile(CARD_RUN)
IBANS = re.compile(IBAN)
OTHERS = re.compile(f"{PHONE}|{ACCOUNT}")
NAMED_ACCOUNTS = re.compile(rf"({NAMED_ACCOUNT})")
DIGITS = re.compile(r"\d+")
FIRST_DIGIT = re.compile(r"\d")


def hide_numbers(text: str) -> str:
    """Returns `text` without numbers of persons."""
    text = IBANS.sub(hide_iban, text)
    text = CARDS.sub(hide_cards, text)
    text = NAMED_ACCOUNTS.sub(hide_from_first_digit, text)
    return OTHERS.sub(HIDDEN, text)


def hide_from_first_digit(match: re.Match[str]) -> str:
    first = FIRST_DIGIT.search(match[0])
    return match[0] if first is None else match[0][: first.start()] + HIDDEN


def hide_cards(match: re.Match[str]) -> str:
    """Returns a run of digit groups with those hidden that together are a card number."""
    run = match[0]
    groups = list(DIGITS.finditer(run))
    shown, position, index = "", 0, 0
    while index < len(groups):
        count = card_at(groups, index)
        if count:
            shown += run[position : groups[index].start()] + HIDDEN
            position = groups[index + count - 1].end()
        index += count or 1
    return shown + run[position:]


def card_at(groups: list[re.Match[str]], first: int) -> int:
    """Returns how many groups from `first` on are a card number; 0 if none are. The longest match counts."""
    if len(groups[first][0]) >= 13:
        return int(is_card(groups[first][0]))
    if len(groups[first][0]) != 4:
        return 0
    for count in (5, 4, 3):
        lengths = [len(group[0]) for group in groups[first : first + count]]
        laid_out = len(lengths) == count and all(length in {4, 6} for length in lengths[:-1])
        if laid_out and is_card("".join(group[0] for group in groups[first : first + count])):
            return count
    return 0


def is_card(digits: str) -> bool:
    """Whether these are 13 to 19 digits with Luhn's checksum, of which the first is that of a card issuer (2
    to 6).

    A time in milliseconds begins with 1, so it is not mistaken for a card.
    """
    if not (13 <= len(digits) <= 19 and digits[0] in "23456" and digits.isascii()):
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def hide_iban(match: re.Match[str]) -> str:
    """Hides the IBAN in a match, which may include words after it: the country decides its length."""
    found = match[0]
    length = IBAN_LENGTHS[found[:2].upper()]
    places = [place for place, character in enumerate(found) if character.isalnum()]
    if len(places) < length:
        return found
    end = places[length - 1] + 1
    ends_there = not (found[end : end + 1] or match.string[match.end() : match.end() + 1] or " ").isalnum()
    if ends_there and is_iban("".join(found[place] for place in places[:length])):
        return HIDDEN + found[end:]
    return found


def is_iban(number: str) -> bool:
    """Whether the checksum of ISO 7064 is right.

    The first four characters are moved to the end and letters become 10 to 35; the remainder by 97 must be 1.
    """
    return int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 == 1
