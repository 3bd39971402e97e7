"""Checks what people write into titles and terms: the other party must read what was written.

Texts are normalised to NFC. Refused are characters that are invisible (control characters, directions, zero
width), and in titles words that mix alphabets or imitate Latin (“PayPal” with a Cyrillic letter for its P).
They are refused and not removed, because a person must know what they agree to.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from escrow.errors import WrongText

LONGEST_TITLE = 200
LONGEST_TEXT = 20_000
# Control, format (directions, zero width), surrogate, private, unassigned; ends of lines and paragraphs.
REFUSED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that are drawn as nothing, though their category says that they are letters or marks.
BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800")
ALLOWED_IN_TEXT = frozenset("\n\t")
# Alphabets with letters that look alike. Han, kana and Hangul are written beside Latin everywhere.
LOOK_ALIKE = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "COPTIC", "CHEROKEE", "LISU", "GEORGIAN", "DESERET")
# Letters that most fonts draw like a Latin one (from the confusables of Unicode TR 39).
LIKE_LATIN = frozenset(
    "\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423"  # Cyrillic
    "\u0425\u0430\u0435\u0455\u0456\u0458\u043e\u0440\u0441\u0443\u0445\u0501\u051b\u051d"
    "\u04bb\u0475\u0474\u050c\u04c0\u04cf"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"  # Greek
    "\u03bf\u03bd\u03f2\u03f3"
    "\u0555\u054d\u054f\u0585\u057d\u0570\u0578\u0581\u0566"  # Armenian
    "\u13aa\u13f4\u13df\u13a0\u13ac\u13bb\u13ab\u13e6\u13de\u13b7\u13e2\u13a1\u13da\u13a2"  # Cherokee
    "\u13d9\u13b3\u13c3"
)
WORD = re.compile(r"[^\W_]+")


def title_from(text: str, field: str) -> str:
    """Returns the title in NFC with single spaces. Raises WrongText, which names `field`."""
    title = " ".join(normalised(text, field, allowed=frozenset("\t\n\r")).split())
    if not title:
        raise WrongText("Write a title.", field)
    if len(title) > LONGEST_TITLE:
        raise WrongText(f"A title has at most {LONGEST_TITLE} characters.", field)
    refuse_imitations(title, field)
    return title


def text_from(text: str, field: str, *, longest: int = LONGEST_TEXT, required: bool = False) -> str:
    """Returns the text in NFC, with \\n as its line ends. Raises WrongText, which names `field`."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    plain = normalised(lines, field, allowed=ALLOWED_IN_TEXT).strip()
    if required and not plain:
        raise WrongText("Write a text.", field)
    if len(plain) > longest:
        raise WrongText(f"This text has at most {longest:,} characters.", field)
    return plain


def normalised(text: str, field: str, *, allowed: frozenset[str]) -> str:
    if len(text) > 2 * LONGEST_TEXT:
        raise WrongText(f"This text has at most {LONGEST_TEXT:,} characters.", field)
    for character in text:
        if character not in allowed and is_unseen(character):
            raise WrongText(
                f"It contains the invisible character U+{ord(character):04X}. Type the text instead of"
                " pasting it.",
                field,
            )
    return unicodedata.normalize("NFC", text)


def is_unseen(character: str) -> bool:
    return unicodedata.category(character) in REFUSED or character in BLANK


def refuse_imitations(title: str, field: str) -> None:
    """Raises WrongText for a word that mixes alphabets, or that imitates Latin beside Latin words."""
    for character in title:
        if is_dressed_up(character):
            raise WrongText(f"“{character}” only looks like a plain letter. Type the plain one.", field)
    words = WORD.findall(title)
    for word in words:
        if len(alphabets(word)) > 1:
            raise WrongText(
                f"“{word}” mixes letters of several alphabets that look alike. Write it in one alphabet.",
                field,
            )
    if any(alphabets(word) == {"LATIN"} for word in words):
        for word in words:
            if is_imitation(word):
                raise WrongText(
                    f"“{word}” is written with letters that look like Latin ones. Write it in Latin letters.",
                    field,
                )


def alphabets(word: str) -> set[str]:
    return set(scripts_of(word))


def scripts_of(word: str) -> Iterator[str]:
    """Yields the alphabet of each letter, where it is one of LOOK_ALIKE."""
    for character in word:
        script = unicodedata.name(character, "").partition(" ")[0]
        if character.isalpha() and script in LOOK_ALIKE:
            yield script


def is_imitation(word: str) -> bool:
    letters = [character for character in word if character.isalpha()]
    return bool(letters) and all(character in LIKE_LATIN for character in letters)


def is_dressed_up(character: str) -> bool:
    """Returns whether it is a Latin letter or a digit in another dress: bold, circled, full width."""
    plain = unicodedata.normalize("NFKC", character)
    is_another = plain != character and len(plain) == 1 and plain.isascii()
    is_raised = unicodedata.decomposition(character).startswith(("<super>", "<sub>"))
    return is_another and not is_raised and (plain.isalpha() or unicodedata.category(character) == "Nd")
