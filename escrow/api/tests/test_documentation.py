"""Runs the commands of docs/api-escrow.md, in their order, with the test client in place of curl."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import Client

from core.registry import Registry
from escrow.api.tests.app import App
from escrow.escrows.tests.deals import make_party, pay
from escrow.models import Escrow
from escrow.payments import registry
from escrow.payments.tests.fake import FakeProvider

pytestmark = pytest.mark.django_db

BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
ASSIGNED = re.compile(r"(\w+)=\$\((curl .*) \| jq -r (\S+)\)", re.DOTALL)
DRAFT = {
    "role": "buyer",
    "currency": "NGN",
    "title": "A website",
    "milestones": [{"title": "All of it", "amount": {"amount_minor": 9_000_000, "currency": "NGN"}}],
}
SERVER = "http://localhost:8000"


class Shell:
    """Understands what the page uses of a shell, curl and jq."""

    def __init__(self, **variables: str) -> None:
        self.variables = variables
        self.client = Client()

    def run(self, block: str) -> None:
        block = block.replace("\\\n", " ").strip()
        if assigned := ASSIGNED.fullmatch(block):
            name, command, path = assigned.groups()
            self.variables[name] = picked(self.curl(command).json(), path)
        elif block.startswith("curl "):
            self.curl(block)
        else:
            for name, _, value in (line.partition("=") for line in block.splitlines()):
                self.variables[name] = shlex.split(value)[0]

    def curl(self, command: str) -> Any:
        words = [self.filled(word) for word in shlex.split(command.replace("$(uuidgen)", str(uuid4())))]
        address = next(word for word in words if word.startswith(SERVER)).removeprefix(SERVER)
        options = list(pairwise(words))
        headers = dict(value.split(": ", 1) for option, value in options if option == "-H")
        body = "".join(value for option, value in options if option == "-d")
        method = "POST" if body or ("-X", "POST") in options else "GET"
        kind = headers.pop("Content-Type", "application/json")
        response: Any = self.client.generic(method, address, body, content_type=kind, headers=headers)
        assert response.status_code in (200, 201), (command, response.content)
        return response

    def filled(self, word: str) -> str:
        return re.sub(r"\$(\w+)", lambda found: self.variables[found[1]], word)


def picked(found: Any, path: str) -> str:
    for part in re.findall(r"\w+", path):
        found = found[int(part) if part.isdigit() else part]
    return str(found)


def token_of(app: App) -> str:
    return str(app.client.defaults["HTTP_X_SESSION_TOKEN"])


def test_every_command_of_the_page_works(monkeypatch: pytest.MonkeyPatch, mailoutbox: list[Any]) -> None:
    monkeypatch.setattr(registry, "PROVIDERS", Registry("payment provider", (FakeProvider(),)))
    buyer, seller = App(make_party()), App(make_party())
    other = buyer.post("/escrows", DRAFT, 201)
    shell = Shell(
        BUYER=token_of(buyer),
        SELLER=token_of(seller),
        SELLER_EMAIL=seller.person.email,
        OTHER=other["id"],
    )
    page = (Path(settings.BASE_DIR) / "docs" / "api-escrow.md").read_text()
    for block in BLOCK.findall(page):
        if "/invitations/accept" in block:
            shell.variables["TOKEN"] = re.findall(r"/invitations/(\S+)", mailoutbox[-1].body)[0]
        shell.run(block)
        if block.startswith("COLLECTION="):
            escrow = Escrow.objects.get(public_id=shell.variables["ESCROW"])
            pay(escrow, escrow.due_minor)
    shown = buyer.get(f"/escrows/{shell.variables['ESCROW']}")
    assert shown["state"] == "completed"
    assert seller.get("/balances")["items"][0]["in_transit"]["amount_minor"] == 5_000_000
