"""Validates, normalises and stores the profile: name, telephone number and country."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping

import pycountry
from django.db import transaction

from accounts.errors import AccountClosed, InvalidProfile, NameIsFixed
from accounts.models import User

LONGEST_NAME = 200
# Control, format (bidi marks, zero-width), surrogate, private, unassigned characters, and line separators.
REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Zero-width non-joiner and joiner. They are part of the spelling between letters of the scripts below (the
# first word of the letters' Unicode names), as in Persian and in conjuncts of India's scripts. Elsewhere they
# are invisible and would make two names differ that look the same.
JOINERS = frozenset("\u200c\u200d")
JOINED_SCRIPTS = frozenset(
    {
        *("ARABIC", "SYRIAC", "NKO", "MANDAIC", "MONGOLIAN"),
        *("DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA"),
        *("MALAYALAM", "SINHALA", "MYANMAR", "KHMER", "TIBETAN", "BALINESE", "JAVANESE"),
    }
)
# Unicode gives these the category of a letter or mark, but they are invisible.
INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")
FIELDS = ("full_name", "phone_number", "country")

RefuseName = Callable[[User], str | None]
name_guards: dict[str, RefuseName] = {}


def register(*, name: str, refuse_name: RefuseName) -> None:
    """Registers an app's guard against changes of the name; to be called in its `ready()`.

    `refuse_name(person)` returns the reason why the name cannot be changed now, a sentence, or None.
    """
    name_guards[name] = refuse_name


class InvalidValue(ValueError):
    """The value of one field is invalid. The message is for the account holder."""


def update_profile(*, user_id: int, changes: Mapping[str, str]) -> User:
    """Stores the given fields, and no others, so that concurrent changes don't undo each other.

    Returns the changed user. Raises InvalidProfile with every invalid field, NameIsFixed, or AccountClosed
    if the account was closed since the request was authenticated; then nothing is changed.
    """
    with transaction.atomic():
        person = User.objects.select_for_update().get(pk=user_id)
        if not person.is_active:
            raise AccountClosed
        changed = cleaned(changes, person)
        if changed.get("full_name", person.full_name) != person.full_name:
            check_name_guards(person)
        for name, value in changed.items():
            setattr(person, name, value)
        if changed:
            person.save(update_fields=list(changed))
        return person


def check_name_guards(person: User) -> None:
    """Raises NameIsFixed if an app's guard refuses a change of the name."""
    for guard in name_guards.values():
        if reason := guard(person):
            raise NameIsFixed(reason)


def cleaned(changes: Mapping[str, str], person: User) -> dict[str, str]:
    """Returns the normalised values. Raises InvalidProfile with every invalid field."""
    result: dict[str, str] = {}
    problems: dict[str, list[str]] = {}
    for name in sorted(changes):  # the country before the telephone number that depends on it
        try:
            result[name] = cleaned_field(name, changes[name], result.get("country", person.country))
        except InvalidValue as problem:
            problems[name] = [str(problem)]
    if problems:
        raise InvalidProfile(problems)
    return result


def cleaned_field(name: str, value: str, country: str) -> str:
    if name == "full_name":
        return clean_name(value)
    return clean_country(value) if name == "country" else clean_phone_number(value, country)


def clean_name(text: str) -> str:
    """Returns the name in NFC with single spaces. Raises InvalidValue unless 1 to 200 visible characters."""
    if any(unicodedata.category(character) in REFUSED_CATEGORIES for character in without_joiners(text)):
        raise InvalidValue("Contains control, formatting or zero-width characters. Type the name again.")
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if INVISIBLE & set(name):
        raise InvalidValue("Contains invisible characters. Type the name again.")
    if not any(character.isalpha() for character in name):
        raise InvalidValue("Contains no letter. Write the name as in your documents.")
    if len(name) > LONGEST_NAME:
        raise InvalidValue(f"Longer than {LONGEST_NAME} characters.")
    return name


def without_joiners(text: str) -> str:
    """Returns the text without the joiners that are between two letters or marks of one joining script."""
    return "".join(
        character
        for before, character, after in zip(f" {text}", text, f"{text[1:]} ", strict=False)
        if character not in JOINERS
        or not joined_script(before)
        or joined_script(before) != joined_script(after)
    )


def joined_script(character: str) -> str:
    """Returns the script of a letter or mark if its spelling uses joiners, else an empty string."""
    script = unicodedata.name(character, "").partition(" ")[0]
    return script if script in JOINED_SCRIPTS and unicodedata.category(character)[0] in "LM" else ""


def clean_country(text: str) -> str:
    """Returns the ISO 3166-1 alpha-2 code in capitals, or "" if the text is blank. Raises InvalidValue."""
    code = text.strip().upper()
    if code and pycountry.countries.get(alpha_2=code) is None:
        raise InvalidValue("Not a country of ISO 3166-1. Use two letters, such as NG.")
    return code


def clean_phone_number(text: str, country: str) -> str:
    """Returns the number in E.164, or "" if the text is blank. Raises InvalidValue.

    A number without + is read as a national number of `country` (ISO 3166-1 alpha-2, or empty).
    """
    if not text.strip():
        return ""
    import phonenumbers  # takes 0.3 s of processor time, which most processes and all commands need not spend

    try:
        number = phonenumbers.parse(text, country or None)
    except phonenumbers.NumberParseException as error:
        hint = "" if country else " Begin with + and the country's code, or set your country."
        raise InvalidValue(f"Not a telephone number.{hint}") from error
    if not phonenumbers.is_valid_number(number):
        raise InvalidValue("Not a valid telephone number of its country.")
    if number.extension:
        raise InvalidValue("Leave out the extension.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
