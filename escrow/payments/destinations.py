"""Bank accounts: checked, encrypted for the payout's row, and read again when it is sent."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import asdict

from core.encryption import decrypt, encrypt
from escrow.models.payments import Payout
from escrow.payments.base import Destination
from escrow.payments.errors import WrongDestination

BANK_CODE = re.compile(r"[A-Za-z0-9]{2,16}", re.ASCII)
ACCOUNT_NUMBER = re.compile(r"[A-Za-z0-9]{5,34}", re.ASCII)  # 34: the longest IBAN
LONGEST_NAME = 100
LAST = 4


def checked(destination: Destination) -> Destination:
    """Returns the destination without needless blanks. Raises WrongDestination, which names the field."""
    bank_code = destination.bank_code.strip()
    number = re.sub(r"[ -]", "", destination.account_number)
    name = " ".join(destination.account_name.split())
    if not BANK_CODE.fullmatch(bank_code):
        raise WrongDestination("bank_code", "The bank's code has 2 to 16 letters and digits.")
    if not ACCOUNT_NUMBER.fullmatch(number):
        raise WrongDestination("account_number", "The account's number has 5 to 34 letters and digits.")
    if not 0 < len(name) <= LONGEST_NAME or any(unicodedata.category(each)[0] == "C" for each in name):
        message = f"The account's name has 1 to {LONGEST_NAME} characters, and none that cannot be printed."
        raise WrongDestination("account_name", message)
    return Destination(bank_code=bank_code, account_number=number, account_name=name)


def encrypted(destination: Destination) -> bytes:
    return encrypt(json.dumps(asdict(destination)).encode())


def last_digits(destination: Destination) -> str:
    return destination.account_number[-LAST:]


def destination_of(payout: Payout) -> Destination:
    """Returns where the payout goes. Raises CannotDecrypt when its key is missing."""
    return Destination(**json.loads(decrypt(bytes(payout.destination_encrypted))))
