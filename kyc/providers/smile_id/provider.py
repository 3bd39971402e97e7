"""Sends requests to Smile ID and interprets its responses and callbacks (docs/adr/0008: why Smile ID)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from core import outgoing
from core.outcomes import Accepted, Rejected, RetryLater
from core.outgoing import Answer, DeliveryError
from kyc.providers.base import Callback, CheckFacts, Malformed, Provider, StartOver, Submission, Verdict
from kyc.providers.smile_id import format as wording
from kyc.providers.smile_id.signature import is_genuine, is_timely, signed

ANSWER_LIMIT_BYTES = 4 * 1024 * 1024  # a result may hold photographs in base64
ASK_SECONDS = 15.0
UPLOAD_SECONDS = 45.0
REFERENCE = re.compile(r"[!-~]{1,64}")  # ours are hex; the database refuses NUL and lone surrogates
TEMPORARY = frozenset({401, 403, 408, 425, 429})  # 401 and 403: our key is wrong, not the job


class SmileId(Provider):
    name = "smile_id"
    label = "Smile ID"
    variables = ("SMILE_ID_PARTNER_ID", "SMILE_ID_API_KEY")

    def secrets(self) -> tuple[str, ...]:
        return (settings.SMILE_ID_API_KEY,)

    def submit(self, facts: CheckFacts) -> Submission:
        """Creates the job, then uploads its images. A job that Smile ID has already is not sent again."""
        reason = wording.why_not(facts)
        if reason:
            return Rejected(reason)
        announced = self._announce(facts)
        if not isinstance(announced, Mapping):
            return announced
        upload_url = announced.get("upload_url")
        if not isinstance(upload_url, str) or not is_safe(upload_url):
            return RetryLater(None, "Smile ID returned no valid upload address.")
        return self._upload(facts, upload_url, wording.text_of(announced, "smile_job_id"))

    def fetch(self, *, reference: str, document_type: str) -> Verdict | RetryLater:
        answer = self._status(reference, document_type)
        if isinstance(answer, RetryLater):
            return answer
        return wording.verdict_of(answer, document_type)

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Callback | None:
        """Verifies a callback. Its id is the hash of the body, because Smile ID's callbacks have no id."""
        callback = json_object(body)
        if callback is None:
            raise Malformed("The body is not a JSON object.")
        timestamp = callback.get("timestamp")
        if not self._is_genuine(callback) or not is_timely(str(timestamp), timezone.now()):
            return None
        params = callback.get("PartnerParams")
        reference = params.get("job_id") if isinstance(params, Mapping) else None
        if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
            raise Malformed("The body has no PartnerParams.job_id.")
        return Callback(event_id=sha256(body).hexdigest(), reference=reference)

    def _announce(self, facts: CheckFacts) -> Mapping[str, Any] | Submission:
        request = wording.upload_request(facts, settings.SMILE_ID_PARTNER_ID, self._signed())
        try:
            answer = self._post("upload", request)
        except DeliveryError as problem:
            return RetryLater(None, f"Smile ID does not answer: {problem}")
        content = json_object(answer.body) or {}
        code = wording.text_of(content, "code")
        if code == wording.JOB_EXISTS:
            return self._known_job(facts)
        if answer.status == HTTPStatus.OK and content:
            return content
        return refusal(answer, code)

    def _known_job(self, facts: CheckFacts) -> Submission:
        """Returns the outcome for a job that an earlier attempt created, whose response was lost."""
        answer = self._status(facts.reference, facts.document_type)
        if isinstance(answer, RetryLater):
            return answer
        if wording.has_no_zip(answer):
            return StartOver("Smile ID has the job without its images.")
        return Accepted(wording.verdict_of(answer, facts.document_type).provider_reference)

    def _upload(self, facts: CheckFacts, upload_url: str, job_id: str) -> Submission:
        packed = wording.zip_of(facts, settings.SMILE_ID_PARTNER_ID, upload_url, self._signed())
        try:
            answer = outgoing.send(
                "PUT",
                upload_url,
                body=packed,
                headers={"Content-Type": "application/zip"},
                seconds=UPLOAD_SECONDS,
                limit_bytes=ANSWER_LIMIT_BYTES,
            )
        except DeliveryError as problem:
            return RetryLater(None, f"The upload failed: {problem}")
        if answer.status in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT):
            return Accepted(job_id)
        return RetryLater(
            outgoing.seconds_to_wait(answer.headers, answer.text),
            f"The upload was answered with {answer.status}.",
        )

    def _status(self, reference: str, document_type: str) -> Mapping[str, Any] | RetryLater:
        """Requests /job_status, and returns a verified response about this job."""
        request = wording.status_request(reference, settings.SMILE_ID_PARTNER_ID, self._signed())
        try:
            answer = self._post("job_status", request)
        except DeliveryError as problem:
            return RetryLater(None, f"Smile ID does not answer: {problem}")
        content = json_object(answer.body) or {}
        if answer.status != HTTPStatus.OK:
            failure = refusal(answer, wording.text_of(content, "code"))
            return failure if isinstance(failure, RetryLater) else RetryLater(None, failure.reason)
        if not self._is_genuine(content):
            return RetryLater(None, "The response is not signed with our key.")
        if not wording.is_about(content, reference, document_type):
            return RetryLater(None, "The response is about another job.")
        return content

    def _post(self, path: str, content: Mapping[str, Any]) -> Answer:
        return outgoing.send(
            "POST",
            f"{settings.SMILE_ID_BASE_URL}/{path}",
            body=json.dumps(content).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            seconds=ASK_SECONDS,
            limit_bytes=ANSWER_LIMIT_BYTES,
        )

    def _signed(self) -> dict[str, str]:
        return signed(partner_id=settings.SMILE_ID_PARTNER_ID, api_key=settings.SMILE_ID_API_KEY)

    def _is_genuine(self, content: Mapping[str, Any]) -> bool:
        return is_genuine(
            timestamp=content.get("timestamp"),
            signature=content.get("signature"),
            partner_id=settings.SMILE_ID_PARTNER_ID,
            api_key=settings.SMILE_ID_API_KEY,
        )


def refusal(answer: Answer, code: str) -> RetryLater | Rejected:
    """Returns the outcome for an error response. Keeps only status and code: its text may quote our data."""
    words = f"Smile ID answered {answer.status}" + (f" with code {code[:8]}." if code else ".")
    if code in wording.NOT_AUTHORISED:
        return RetryLater(None, f"{words} Check SMILE_ID_PARTNER_ID and SMILE_ID_API_KEY.")
    is_temporary = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in TEMPORARY
    if is_temporary or code in wording.SYSTEM_ERRORS or answer.status < HTTPStatus.BAD_REQUEST:
        return RetryLater(outgoing.seconds_to_wait(answer.headers, answer.text), words)
    return Rejected(words)


def is_safe(upload_url: str) -> bool:
    """Returns whether the upload URL is at least as protected as the API: https, unless the API uses http."""
    try:
        parts = urlsplit(upload_url)
    except ValueError:
        return False
    schemes = {"https", urlsplit(settings.SMILE_ID_BASE_URL).scheme}
    return parts.scheme in schemes and bool(parts.hostname) and "@" not in parts.netloc


def json_object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
