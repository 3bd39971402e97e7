"""The users of the demo and the events of their cases. Times are relative to now."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from kyc.cases.states import Event
from kyc.models import Check, DocumentType


class Person(NamedTuple):
    full_name: str
    country: str
    phone_number: str

    @property
    def email(self) -> str:
        return f"{self.full_name.lower().replace(' ', '.')}@demo.example"


class Step(NamedTuple):
    """One event, `ago` before now. `by_provider`: the provider's result caused it."""

    event: Event
    ago: timedelta
    reason_code: str = ""
    reason: str = ""
    by_provider: bool = False


class Story(NamedTuple):
    """One case. `check`: result and text of the provider's check, empty if there was none."""

    person: Person
    document_type: DocumentType
    country: str
    number: str
    steps: tuple[Step, ...]
    check: tuple[str, str] = ("", "")


def days(count: float) -> timedelta:
    return timedelta(days=count)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def submitted(ago: timedelta) -> tuple[Step, ...]:
    return (Step(Event.SUBMIT, ago),)


def claimed(waited: timedelta, ago: timedelta) -> tuple[Step, ...]:
    return (*submitted(ago + waited), Step(Event.CLAIM, ago))


def approved(ago: timedelta, reason: str = "") -> tuple[Step, ...]:
    return (*claimed(hours(5), ago + minutes(4)), Step(Event.APPROVE, ago, reason=reason))


ADAEZE = Person("Adaeze Okonkwo", "NG", "+2348031234501")
TUNDE = Person("Tunde Bakare", "NG", "+2348031234502")
NGOZI = Person("Ngozi Eze", "NG", "+2348031234503")
EMEKA = Person("Emeka Nwosu", "NG", "+2348031234504")
HALIMA = Person("Halima Abubakar", "NG", "+2348031234505")
CHINEDU = Person("Chinedu Obi", "NG", "+2348031234506")
FATIMA = Person("Fatima Bello", "NG", "+2348031234507")
KWAME = Person("Kwame Mensah", "GH", "+233241234508")
AMINA = Person("Amina Yusuf", "NG", "+2348031234509")
SEGUN = Person("Segun Adeyemi", "NG", "+2348031234510")
IFEANYI = Person("Ifeanyi Uche", "NG", "+2348031234511")
ZAINAB = Person("Zainab Sani", "NG", "+2348031234512")
GRACE = Person("Grace Wanjiru", "KE", "+254712345613")
OLUMIDE = Person("Olumide Johnson", "NG", "+2348031234514")
BLESSING = Person("Blessing Okafor", "NG", "+2348031234515")
MUSA = Person("Musa Danjuma", "NG", "+2348031234517")
PIOTR = Person("Piotr Nowak", "PL", "+48512345616")

NIN, BVN, PASSPORT = DocumentType.NIN, DocumentType.BVN, DocumentType.PASSPORT
LICENCE, VOTER, NATIONAL = DocumentType.DRIVERS_LICENCE, DocumentType.VOTERS_CARD, DocumentType.NATIONAL_ID
GLARE = "The light is reflected right over the number. Please photograph the page without a flash."
NO_BACK = "The back of the card is missing: the second image shows the front again."
SHARED_NUMBER = "A04412871"

STORIES = (
    Story(AMINA, NATIONAL, "NG", "AYF90214", (*approved(days(738)), Step(Event.EXPIRE, days(8)))),
    Story(TUNDE, BVN, "NG", "22345678902", approved(days(90))),
    Story(TUNDE, NIN, "NG", "52345678902", approved(days(88))),
    Story(TUNDE, PASSPORT, "NG", "B50117352", approved(days(71))),
    Story(ADAEZE, NIN, "NG", "52345678901", approved(days(41))),
    Story(ADAEZE, PASSPORT, "NG", SHARED_NUMBER, approved(days(36))),
    Story(
        SEGUN,
        PASSPORT,
        "NG",
        "A09817264",
        (
            *approved(days(20)),
            Step(
                Event.REVOKE,
                days(6),
                "suspected_fraud",
                "The passport office does not know this number. Please visit us with the document.",
            ),
        ),
    ),
    Story(
        MUSA,
        PASSPORT,
        "NG",
        "B31170925",
        (
            *approved(days(12)),
            Step(Event.DOUBT, hours(26), reason="Smile ID: Document reported stolen.", by_provider=True),
        ),
        (Check.Result.REJECTED, "Document reported stolen."),
    ),
    Story(
        ZAINAB,
        NIN,
        "NG",
        "52345678912",
        (
            *submitted(days(3)),
            Step(Event.APPROVE, days(3) - minutes(2), reason="Exact match.", by_provider=True),
        ),
        (Check.Result.APPROVED, "Exact match: number found, the selfie is the register's face."),
    ),
    Story(
        CHINEDU,
        PASSPORT,
        "NG",
        "A11253097",
        (*claimed(hours(9), days(2)), Step(Event.REJECT, days(2) - minutes(5), "unreadable", GLARE)),
    ),
    Story(NGOZI, PASSPORT, "NG", "B20984417", submitted(hours(31))),
    Story(
        FATIMA,
        VOTER,
        "NG",
        "90F5B1C2D3E4A596877",
        (
            *claimed(hours(8), hours(5)),
            Step(Event.ASK_FOR_MORE, hours(5) - minutes(6), "incomplete", NO_BACK),
        ),
    ),
    Story(OLUMIDE, NATIONAL, "NG", "OJN77120", (*submitted(hours(20)), Step(Event.WITHDRAW, hours(19)))),
    Story(PIOTR, PASSPORT, "PL", "EK7711420", submitted(hours(19.5))),
    Story(IFEANYI, PASSPORT, "NG", SHARED_NUMBER, submitted(hours(9))),
    Story(EMEKA, LICENCE, "NG", "LSD41207AA12", claimed(hours(6), minutes(11))),
    Story(KWAME, PASSPORT, "GH", "G2417730", submitted(hours(3))),
    Story(
        GRACE,
        NATIONAL,
        "KE",
        "31207764",
        submitted(hours(2)),
        (Check.Result.UNCLEAR, "Document found; the selfie is too dark to compare."),
    ),
    Story(
        BLESSING,
        LICENCE,
        "NG",
        "ABJ20931BC07",
        (
            *claimed(hours(3), hours(8)),
            Step(
                Event.REJECT, hours(8) - minutes(7), "name_mismatch", "Your account names you Blessing Okoro."
            ),
            Step(Event.RESUBMIT, minutes(50)),
        ),
    ),
    Story(HALIMA, NIN, "NG", "52345678905", submitted(minutes(18))),
    Story(ADAEZE, BVN, "NG", "22345678901", submitted(minutes(7))),
)
