"""A security key in software, which answers the options of WebAuthn."""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor

USER_PRESENT, HAS_CREDENTIAL = 0x01, 0x40


def websafe(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class SoftKey:
    """P-256, attestation "none". `origin` is the site that the person believes to be on."""

    def __init__(self, origin: str = "http://localhost:8000") -> None:
        self.origin = origin
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.credential_id = os.urandom(32)
        self.uses = 0

    def registered(self, options: dict[str, Any]) -> dict[str, Any]:
        """The answer to options for a new credential."""
        public = options["publicKey"]
        credential = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id
        data = self.authenticator_data(public["rp"]["id"], USER_PRESENT | HAS_CREDENTIAL)
        attestation = {"fmt": "none", "attStmt": {}, "authData": data + credential + cbor.encode(self.cose())}
        return self.answer(
            clientDataJSON=self.client_data("webauthn.create", public["challenge"]),
            attestationObject=cbor.encode(attestation),
        )

    def signed(self, options: dict[str, Any]) -> dict[str, Any]:
        """The answer to options for signing in."""
        public = options["publicKey"]
        client_data = self.client_data("webauthn.get", public["challenge"])
        data = self.authenticator_data(public["rpId"], USER_PRESENT)
        signature = self.private.sign(data + sha256(client_data).digest(), ec.ECDSA(SHA256()))
        return self.answer(clientDataJSON=client_data, authenticatorData=data, signature=signature)

    def cose(self) -> dict[int, Any]:
        point = self.private.public_key().public_numbers()
        return {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}

    def client_data(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def authenticator_data(self, site: str, flags: int) -> bytes:
        self.uses += 1
        return sha256(site.encode()).digest() + bytes([flags]) + self.uses.to_bytes(4, "big")

    def answer(self, **response: bytes) -> dict[str, Any]:
        return {
            "id": websafe(self.credential_id),
            "rawId": websafe(self.credential_id),
            "type": "public-key",
            "response": {name: websafe(value) for name, value in response.items()},
            "clientExtensionResults": {},
        }
