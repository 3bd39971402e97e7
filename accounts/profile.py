"""What people say about themselves, put into one spelling before it is stored."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping

import phonenumbers
import pycountry
from django.db import transaction

from accounts.errors import AccountClosed, InvalidProfile, NameIsFixed
from accounts.models import User

LONGEST_NAME = 200
# Control, format (bidi marks, zero-width), surrogate, private, unassigned characters, and line separators.
REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Zero-width non-joiner and joiner: between letters of these scripts (Unicode's names of their letters begin
# so) they are part of the spelling, as in Persian and in conjuncts of India's scripts. Elsewhere nobody sees
# them, and two names that look alike would differ.
JOINERS = frozenset("\u200c\u200d")
JOINED_SCRIPTS = frozenset(
    {
        *("ARABIC", "SYRIAC", "NKO", "MANDAIC", "MONGOLIAN"),
        *("DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA"),
        *("MALAYALAM", "SINHALA", "MYANMAR", "KHMER", "TIBETAN", "BALINESE", "JAVANESE"),
    }
)
# Letters by category, and yet nobody sees them.
INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")
FIELDS = ("full_name", "phone_number", "country")

RefuseName = Callable[[User], str | None]
guards: dict[str, RefuseName] = {}


def register(*, name: str, refuse_name: RefuseName) -> None:
    """Called from an app's `ready()`. `refuse_name(person)`: why the name must stay now, as a sentence."""
    guards[name] = refuse_name


class Refused(ValueError):
    """One field's value; the message is for the person."""


def update_profile(*, user_id: int, changes: Mapping[str, str]) -> User:
    """Writes the given fields and no others, so that two changes at once don't undo each other.

    Raises InvalidProfile with every field that is wrong, NameIsFixed, or AccountClosed for somebody who left
    while the request was on its way; then nothing is changed.
    """
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=user_id)
        if not person.is_active:
            raise AccountClosed
        changed = cleaned(changes, person)
        if changed.get("full_name", person.full_name) != person.full_name:
            refuse_new_name(person)
        for name, value in changed.items():
            setattr(person, name, value)
        if changed:
            person.save(update_fields=list(changed))
        return person


def refuse_new_name(person: User) -> None:
    for guard in guards.values():
        if reason := guard(person):
            raise NameIsFixed(reason)


def cleaned(changes: Mapping[str, str], person: User) -> dict[str, str]:
    result: dict[str, str] = {}
    problems: dict[str, list[str]] = {}
    for name in sorted(changes):  # the country before the telephone number that depends on it
        try:
            result[name] = cleaned_field(name, changes[name], result.get("country", person.country))
        except Refused as problem:
            problems[name] = [str(problem)]
    if problems:
        raise InvalidProfile(problems)
    return result


def cleaned_field(name: str, value: str, country: str) -> str:
    if name == "full_name":
        return clean_name(value)
    return clean_country(value) if name == "country" else clean_phone_number(value, country)


def clean_name(text: str) -> str:
    """In NFC, with single spaces; 1 to 200 characters that people can see."""
    if any(unicodedata.category(character) in REFUSED_CATEGORIES for character in without_joiners(text)):
        raise Refused("Contains control, formatting or zero-width characters. Type the name again.")
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if INVISIBLE & set(name):
        raise Refused("Contains invisible characters. Type the name again.")
    if not any(character.isalpha() for character in name):
        raise Refused("Contains no letter. Write the name as in your documents.")
    if len(name) > LONGEST_NAME:
        raise Refused(f"Longer than {LONGEST_NAME} characters.")
    return name


def without_joiners(text: str) -> str:
    """`text` without the joiners between two letters, or their marks, of one script that has joiners."""
    return "".join(
        character
        for before, character, after in zip(f" {text}", text, f"{text[1:]} ", strict=False)
        if character not in JOINERS
        or not joined_script(before)
        or joined_script(before) != joined_script(after)
    )


def joined_script(character: str) -> str:
    """The script of a letter or mark if joiners belong to its spelling, else empty."""
    script = unicodedata.name(character, "").partition(" ")[0]
    return script if script in JOINED_SCRIPTS and unicodedata.category(character)[0] in "LM" else ""


def clean_country(text: str) -> str:
    """ISO 3166-1 alpha-2 in capitals; "" for none."""
    code = text.strip().upper()
    if code and pycountry.countries.get(alpha_2=code) is None:
        raise Refused("No country of ISO 3166-1: two letters, such as NG.")
    return code


def clean_phone_number(text: str, country: str) -> str:
    """E.164; a number without + is one of `country`. "" for none."""
    if not text.strip():
        return ""
    try:
        number = phonenumbers.parse(text, country or None)
    except phonenumbers.NumberParseException as error:
        hint = "" if country else " Begin with + and the country's code, or set your country."
        raise Refused(f"No telephone number.{hint}") from error
    if not phonenumbers.is_valid_number(number):
        raise Refused("No telephone number that exists in its country.")
    if number.extension:
        raise Refused("Leave out the extension.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
