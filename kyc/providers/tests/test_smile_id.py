"""Tests the requests to Smile ID, and the interpretation of its responses."""

from __future__ import annotations

from typing import Any

import pytest

from core.outcomes import Accepted, Rejected, RetryLater
from kyc.providers.base import CheckFacts, Image, Result, StartOver, Verdict
from kyc.providers.smile_id.provider import SmileId
from kyc.providers.tests.smile_stand_in import API_KEY, Fault, SmileStandIn

NUMBER = "12345678901"
IMAGES = {
    "front": Image(b"front-bytes", "image/jpeg"),
    "selfie": Image(b"selfie-bytes", "image/png"),
}
smile_id = SmileId()


def facts(**changes: Any) -> CheckFacts:
    known: dict[str, Any] = {
        "reference": "reference-1",
        "document_type": "passport",
        "country": "NG",
        "number": "A12345678",
        "images": IMAGES,
        "callback_url": "https://amani.example/api/v1/kyc/webhooks/smile_id",
    }
    return CheckFacts(**known | changes)


def nin() -> CheckFacts:
    return facts(document_type="nin", number=NUMBER, images={"selfie": IMAGES["selfie"]})


def fetched(document_type: str = "passport") -> Verdict | RetryLater:
    return smile_id.fetch(reference="reference-1", document_type=document_type)


def test_a_passport_is_announced_and_uploaded_with_its_images(smile: SmileStandIn) -> None:
    assert smile_id.submit(facts()) == Accepted("0000001897")
    assert smile.requests == ["upload", "put"]
    job = smile.job
    assert job.params == {"job_id": "reference-1", "user_id": "user-reference-1", "job_type": 6}
    assert job.content.keys() == {"info.json", "front.jpg", "selfie.png"}
    assert (job.content["front.jpg"], job.content["selfie.png"]) == (b"front-bytes", b"selfie-bytes")
    assert job.info["id_info"] == {"country": "NG", "id_type": "PASSPORT"}
    assert job.info["images"] == [
        {"image_type_id": 1, "image": "", "file_name": "front.jpg"},
        {"image_type_id": 0, "image": "", "file_name": "selfie.png"},
    ]
    assert job.info["misc_information"]["callback_url"].endswith("/webhooks/smile_id")


def test_a_nin_is_looked_up_by_its_number(smile: SmileStandIn) -> None:
    assert smile_id.submit(nin()) == Accepted("0000001897")
    assert smile.job.params["job_type"] == 1
    assert smile.job.info["id_info"] == {
        "country": "NG",
        "id_type": "NIN_V2",
        "id_number": NUMBER,
        "entered": "true",
    }


@pytest.mark.parametrize(
    ("unfit", "reason"),
    [
        (facts(document_type="bvn", country="GH"), "Smile ID looks up a BVN only in NG."),
        (facts(images={"front": IMAGES["front"]}), "Smile ID needs more images: selfie."),
        (
            facts(images={**IMAGES, "front": Image(b"%PDF", "application/pdf")}),
            "Smile ID takes only JPEG and PNG; something else: front.",
        ),
    ],
)
def test_what_smile_id_cannot_check_is_not_sent(smile: SmileStandIn, unfit: CheckFacts, reason: str) -> None:
    assert smile_id.submit(unfit) == Rejected(reason)
    assert smile.requests == []


def test_a_job_that_is_known_is_not_sent_twice(smile: SmileStandIn) -> None:
    smile_id.submit(facts())
    assert smile_id.submit(facts()) == Accepted("")
    assert smile.job.uploads == 1


def test_half_a_job_is_started_over(smile: SmileStandIn) -> None:
    smile.faults["put"].append(Fault(503))
    first = smile_id.submit(facts())
    assert first == RetryLater(None, "The upload was answered with 503.")
    assert smile_id.submit(facts()) == StartOver("Smile ID has the job without its images.")
    assert smile_id.submit(facts(reference="reference-2")) == Accepted("0000001897")


@pytest.mark.parametrize(
    ("fault", "meaning"),
    [
        (Fault(500), RetryLater(None, "Smile ID answered 500.")),
        (Fault(429, headers={"Retry-After": "90"}), RetryLater(90.0, "Smile ID answered 429.")),
        (Fault(502, "<html>"), RetryLater(None, "Smile ID answered 502.")),
        (
            Fault(302, headers={"Location": "https://other.example"}),
            RetryLater(None, "Smile ID answered 302."),
        ),
        (Fault(200, "[]"), RetryLater(None, "Smile ID answered 200.")),
        (Fault(200, "[" * 5000), RetryLater(None, "Smile ID answered 200.")),
        (Fault(400, '{"code": "2401"}'), RetryLater(None, "Smile ID answered 400 with code 2401.")),
        (Fault(400, '{"code": "2213"}'), Rejected("Smile ID answered 400 with code 2213.")),
        (Fault(422), Rejected("Smile ID answered 422.")),
        (
            Fault(400, '{"code": "2205"}'),
            RetryLater(
                None,
                "Smile ID answered 400 with code 2205. Check SMILE_ID_PARTNER_ID and SMILE_ID_API_KEY.",
            ),
        ),
    ],
)
def test_each_refusal_of_the_announcement(smile: SmileStandIn, fault: Fault, meaning: object) -> None:
    smile.faults["upload"].append(fault)
    assert smile_id.submit(facts()) == meaning
    assert smile.jobs == {}


@pytest.mark.parametrize("operation", ["upload", "put"])
def test_a_server_that_hangs_is_left_at_the_deadline(
    smile: SmileStandIn, operation: str, impatient: None
) -> None:
    smile.faults[operation].append(Fault(hang=True))
    outcome = smile_id.submit(facts())
    assert isinstance(outcome, RetryLater)
    assert "sent, but no answer" in outcome.reason


def test_images_go_only_where_the_question_went_as_safely(smile: SmileStandIn, settings: Any) -> None:
    for address in ("ftp://127.0.0.1", "http://user@127.0.0.1", "file:///tmp", "http://["):
        smile.upload_host = address
        smile.jobs.clear()
        outcome = smile_id.submit(facts())
        assert outcome == RetryLater(None, "Smile ID returned no valid upload address.")
        assert smile.job.content == {}


def test_a_job_without_result_is_pending(smile: SmileStandIn) -> None:
    smile_id.submit(facts())
    assert fetched() == Verdict(Result.PENDING, "Smile ID has no result yet.")


def test_a_verified_document_is_approved_with_what_was_read(smile: SmileStandIn) -> None:
    smile_id.submit(facts())
    smile.decides("0810", success=True, IDNumber="A12345678", FullName="OBI ADA")
    assert fetched() == Verdict(
        Result.APPROVED, "0810 Text of 0810", "0000001897", number="A12345678", name="OBI ADA"
    )


def test_a_number_that_was_looked_up_needs_none_read(smile: SmileStandIn) -> None:
    smile_id.submit(nin())
    smile.decides("0810", success=True, IDNumber="Not Available", FullName="Ada Obi")
    verdict = fetched("nin")
    assert isinstance(verdict, Verdict)
    assert (verdict.result, verdict.number, verdict.number_was_looked_up) == (Result.APPROVED, "", True)


@pytest.mark.parametrize(
    ("code", "success", "more", "result"),
    [
        ("0811", False, {}, Result.REJECTED),
        ("0907", False, {}, Result.REJECTED),
        ("1013", False, {}, Result.REJECTED),
        ("1022", False, {}, Result.REJECTED),
        ("1023", False, {}, Result.REJECTED),
        ("0810", False, {}, Result.UNCLEAR),  # contradicts itself
        ("0811", True, {}, Result.UNCLEAR),  # contradicts itself
        ("0810", True, {"Actions": {}}, Result.UNCLEAR),
        ("0810", True, {"Actions": "all of them"}, Result.UNCLEAR),
        ("0810", True, {"Actions": {"Verify_Document": "Failed"}}, Result.UNCLEAR),
        ("0810", True, {"Actions": {"Verify_Document": ["Passed"]}}, Result.UNCLEAR),
        ("0812", True, {}, Result.UNCLEAR),  # provisional
        ("0814", True, {}, Result.UNCLEAR),
        ("1012", True, {}, Result.UNCLEAR),  # a lookup alone
        ("0001", False, {}, Result.UNCLEAR),
        ("9999", True, {}, Result.UNCLEAR),
        ("", True, {"ResultCode": None}, Result.UNCLEAR),
    ],
)
def test_each_result_code(
    smile: SmileStandIn,
    code: str,
    success: bool,
    more: dict[str, Any],
    result: Result,
) -> None:
    smile_id.submit(facts())
    smile.decides(code, success=success, **more)
    verdict = fetched()
    assert isinstance(verdict, Verdict)
    assert verdict.result is result


@pytest.mark.parametrize(
    "params",
    [
        {"job_id": "another", "user_id": "user-reference-1", "job_type": 6},
        {"job_id": "reference-1", "user_id": "another", "job_type": 6},
        {"job_id": "reference-1", "user_id": "user-reference-1", "job_type": 1},
        {},
        None,
        "reference-1",
    ],
)
def test_an_answer_about_another_job_is_none(smile: SmileStandIn, params: object) -> None:
    smile_id.submit(facts())
    smile.decides("0810", success=True, PartnerParams=params)
    assert fetched() == RetryLater(None, "The response is about another job.")


def test_an_answer_that_is_not_signed_with_our_key_is_none(smile: SmileStandIn) -> None:
    smile_id.submit(facts())
    smile.decides("0810", success=True)
    smile.forges = True
    assert fetched() == RetryLater(None, "The response is not signed with our key.")


def test_a_wrong_key_is_reported_and_loses_no_job(smile: SmileStandIn, settings: Any) -> None:
    settings.SMILE_ID_API_KEY = "wrong-key-0123456789"
    outcome = smile_id.submit(facts())
    assert isinstance(outcome, RetryLater)
    assert "Check SMILE_ID_PARTNER_ID and SMILE_ID_API_KEY" in outcome.reason


def test_an_answer_that_is_too_long_or_breaks_off_is_none(
    smile: SmileStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    smile_id.submit(facts())
    monkeypatch.setattr("kyc.providers.smile_id.provider.ANSWER_LIMIT_BYTES", 100)
    outcome = fetched()
    assert outcome == RetryLater(
        None, "Smile ID does not answer: sent, but the answer is longer than 100 bytes"
    )


def test_a_closed_port_is_retried(settings: Any, smile: SmileStandIn) -> None:
    smile.close()
    outcome = smile_id.submit(facts())
    assert isinstance(outcome, RetryLater)
    assert "not sent" in outcome.reason


def test_nothing_of_the_person_or_the_key_is_in_a_repr(smile: SmileStandIn) -> None:
    smile_id.submit(facts())
    smile.decides("0810", success=True, IDNumber="A12345678", FullName="Ada Obi")
    shown = f"{facts()!r} {fetched()!r} {smile_id!r}"
    for secret in ("A12345678", "Ada", "bytes", API_KEY):
        assert secret not in shown
