"""Builds requests to Smile ID and interprets its responses. Pure functions.

Sources: docs.usesmileid.com (Biometric KYC, Document Verification, Job status, Result codes, Error codes) and
smileidentity/smile-identity-core-python (WebApi.py, image_upload.py, Utilities.py, constants.py).
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from kyc.providers.base import CheckFacts, Result, Verdict

BIOMETRIC_KYC = 1  # looks the number up and compares the selfie with the authority's photograph
DOCUMENT_VERIFICATION = 6  # examines the document and compares the selfie with its photograph

JOB_TYPES = {"nin": BIOMETRIC_KYC, "bvn": BIOMETRIC_KYC}
ID_TYPES = {
    "nin": "NIN_V2",
    "bvn": "BVN",
    "passport": "PASSPORT",
    "drivers_licence": "DRIVERS_LICENSE",
    "voters_card": "VOTER_ID",
    # A national id has another keyword in each country; without one Smile ID recognises the document itself.
}
LOOKED_UP_IN = "NG"
SIDES_NEEDED = {BIOMETRIC_KYC: ("selfie",), DOCUMENT_VERIFICATION: ("selfie", "front")}
IMAGE_TYPE_IDS = {"selfie": 0, "front": 1, "back": 5}  # each as a file in the zip
EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png"}

JOB_EXISTS = "2215"
NOT_AUTHORISED = frozenset({"2205", "2405"})
SYSTEM_ERRORS = frozenset({"2201", "2301", "2401"})

APPROVED = "0810"
# Those that the page of result codes calls rejected, and 0811 (faces differ; from memory). All others, among
# them the provisional approvals, leave the case to people.
REJECTED = frozenset({"0811", "0907", "1013", "1022", "1023"})
# An approval must show that what matters was looked at: a lookup alone, or a face alone, is none.
MUST_SHOW = {
    BIOMETRIC_KYC: {"Verify_ID_Number": "Verified", "Selfie_To_ID_Authority_Compare": "Completed"},
    DOCUMENT_VERIFICATION: {"Verify_Document": "Passed", "Selfie_To_ID_Card_Compare": "Completed"},
}
ABSENT = frozenset({"", "not available", "n/a", "null", "none"})


def why_not(facts: CheckFacts) -> str:
    """Returns the reason why Smile ID can't check this document, or ""."""
    job_type = job_type_of(facts)
    if job_type == BIOMETRIC_KYC and facts.country != LOOKED_UP_IN:
        return f"Smile ID looks up a {facts.document_type.upper()} only in {LOOKED_UP_IN}."
    missing = [side for side in SIDES_NEEDED[job_type] if side not in facts.images]
    if missing:
        return f"Smile ID needs more images: {', '.join(missing)}."
    unfit = sorted(side for side, image in facts.images.items() if image.content_type not in EXTENSIONS)
    if unfit:
        return f"Smile ID takes only JPEG and PNG; something else: {', '.join(unfit)}."
    return ""


def job_type_of(facts: CheckFacts) -> int:
    return job_type_for(facts.document_type)


def job_type_for(document_type: str) -> int:
    return JOB_TYPES.get(document_type, DOCUMENT_VERIFICATION)


def partner_params(facts: CheckFacts) -> dict[str, Any]:
    return {**references(facts.reference), "job_type": job_type_of(facts)}


def references(reference: str) -> dict[str, str]:
    """Returns the ids of a job. Each job has its own user, because Smile ID enrols a user only once."""
    return {"job_id": reference, "user_id": f"user-{reference}"}


def upload_request(facts: CheckFacts, partner_id: str, signature: Mapping[str, str]) -> dict[str, Any]:
    """Returns the body of POST /upload, whose response has the address for the zip."""
    return {
        "source_sdk": "rest_api",
        "source_sdk_version": "1.0.0",
        "file_name": "selfie.zip",
        "smile_client_id": partner_id,
        "partner_params": partner_params(facts),
        "model_parameters": {},
        "callback_url": facts.callback_url,
        "use_enrolled_image": False,
        **signature,
    }


def zip_of(facts: CheckFacts, partner_id: str, upload_url: str, signature: Mapping[str, str]) -> bytes:
    """Returns a zip of info.json and the images, without compression: images are compressed already."""
    names = {side: f"{side}.{EXTENSIONS[image.content_type]}" for side, image in facts.images.items()}
    info = info_json(facts, partner_id, upload_url, signature, names)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("info.json", json.dumps(info))
        for side, image in facts.images.items():
            archive.writestr(names[side], image.content)
    return packed.getvalue()


def info_json(
    facts: CheckFacts,
    partner_id: str,
    upload_url: str,
    signature: Mapping[str, str],
    names: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "package_information": {
            "apiVersion": {"buildNumber": 0, "majorVersion": 2, "minorVersion": 0},
            "language": "python",
        },
        "misc_information": {
            **signature,
            "retry": "false",
            "partner_params": partner_params(facts),
            "file_name": "selfie.zip",
            "smile_client_id": partner_id,
            "callback_url": facts.callback_url,
            "userData": {},
        },
        "id_info": id_info(facts),
        "images": [
            {"image_type_id": IMAGE_TYPE_IDS[side], "image": "", "file_name": name}
            for side, name in names.items()
        ],
        "server_information": upload_url,
    }


def id_info(facts: CheckFacts) -> dict[str, str]:
    """Returns the document's data; with its number only if Smile ID looks the number up."""
    info = {"country": facts.country}
    if facts.document_type in ID_TYPES:
        info["id_type"] = ID_TYPES[facts.document_type]
    if job_type_of(facts) == BIOMETRIC_KYC:
        info |= {"id_number": facts.number, "entered": "true"}
    return info


def status_request(reference: str, partner_id: str, signature: Mapping[str, str]) -> dict[str, Any]:
    """Returns the body of POST /job_status, without history and links to images, which are not needed."""
    return {
        **references(reference),
        "partner_id": partner_id,
        "image_links": False,
        "history": False,
        **signature,
    }


def verdict_of(answer: Mapping[str, Any], document_type: str) -> Verdict:
    """Returns the verdict of a verified response of /job_status; doubts and contradictions are UNCLEAR."""
    result = answer.get("result")
    if not is_true(answer.get("job_complete")) or not isinstance(result, Mapping):
        return Verdict(Result.PENDING, "Smile ID has no result yet.")
    code = text_of(result, "ResultCode")
    return Verdict(
        result=meaning_of(answer, result, code, job_type_for(document_type)),
        text=f"{code} {text_of(result, 'ResultText')}".strip() or "No result code.",
        provider_reference=text_of(result, "SmileJobID"),
        number=known(text_of(result, "IDNumber")),
        name=known(text_of(result, "FullName")),
        number_was_looked_up=job_type_for(document_type) == BIOMETRIC_KYC,
    )


def meaning_of(answer: Mapping[str, Any], result: Mapping[str, Any], code: str, job_type: int) -> Result:
    has_succeeded = is_true(answer.get("job_success"))
    actions = result.get("Actions")
    shown = actions if isinstance(actions, Mapping) else {}
    if code == APPROVED and has_succeeded and MUST_SHOW[job_type].items() <= shown_texts(shown).items():
        return Result.APPROVED
    if code in REJECTED and not has_succeeded:
        return Result.REJECTED
    return Result.UNCLEAR


def shown_texts(actions: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in actions.items() if isinstance(value, str)}


def is_about(answer: Mapping[str, Any], reference: str, document_type: str) -> bool:
    """Returns whether the response is about our job, its user and its type of document."""
    result = answer.get("result")
    params = result.get("PartnerParams") if isinstance(result, Mapping) else None
    if not isinstance(params, Mapping):
        return not is_true(answer.get("job_complete"))  # for example "No zip uploaded yet"
    expected = {**references(reference), "job_type": str(job_type_for(document_type))}
    return all(text_of(params, name) == value for name, value in expected.items())


def has_no_zip(answer: Mapping[str, Any]) -> bool:
    """Returns whether the job was created but its zip was not uploaded; `result` is then a sentence."""
    result = answer.get("result")
    return isinstance(result, str) and "no zip" in result.lower()


def text_of(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def known(text: str) -> str:
    return "" if text.strip().lower() in ABSENT else text


def is_true(value: object) -> bool:
    return value is True or value == "true"
