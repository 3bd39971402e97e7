"""A fake Smile ID over real HTTP: stores jobs, signs responses, and fails on request."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

from kyc.providers.smile_id.signature import is_genuine, signature_of
from observability.tests.stand_in import StandIn

PARTNER_ID = "2468"
API_KEY = "smile-key-0123456789abcdef"
BIOMETRIC_ACTIONS = {"Verify_ID_Number": "Verified", "Selfie_To_ID_Authority_Compare": "Completed"}
DOCUMENT_ACTIONS = {"Verify_Document": "Passed", "Selfie_To_ID_Card_Compare": "Completed"}


@dataclass
class Fault:
    """What happens instead of an answer. `after`: the work is done first, and its answer is lost."""

    status: int = 500
    body: str = "{}"
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    after: bool = False


@dataclass
class Job:
    params: dict[str, Any]
    content: dict[str, bytes] = field(default_factory=dict)  # of the zip, by name
    uploads: int = 0
    outcome: dict[str, Any] | None = None  # job_success and result, once it is complete

    @property
    def info(self) -> dict[str, Any]:
        info: dict[str, Any] = json.loads(self.content["info.json"])
        return info


class SmileStandIn(StandIn):
    def __init__(self) -> None:
        self.released = threading.Event()  # lets go of what hangs
        self.reset()
        super().__init__()

    def reset(self) -> None:
        """As new: knows no job, and works."""
        self.released.set()
        self.released = threading.Event()
        self.jobs: dict[str, Job] = {}
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)  # by operation: upload, put, job_status
        self.requests: list[str] = []
        self.forges = False  # signs with another key
        self.upload_host = ""  # another address than this server's, for the zip

    @property
    def url(self) -> str:
        return f"http://{self.address}/v1"

    def close(self) -> None:
        self.released.set()
        super().close()

    @property
    def job(self) -> Job:
        """The only one."""
        (job,) = self.jobs.values()
        return job

    def decides(self, code: str, *, success: bool, reference: str = "", **more: Any) -> None:
        """From now on the job (the only one, or `reference`) is complete."""
        job = self.jobs[reference] if reference else self.job
        result = {
            "ResultCode": code,
            "ResultText": f"Text of {code}",
            "SmileJobID": "0000001897",
            "PartnerParams": job.params,
            "Actions": BIOMETRIC_ACTIONS if job.params["job_type"] == 1 else DOCUMENT_ACTIONS,
        }
        job.outcome = {"job_complete": True, "job_success": success, "result": result | more}

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        operation = "put" if handler.command == "PUT" else handler.path.rsplit("/", 1)[-1]
        self.requests.append(operation)
        fault = self.faults[operation].popleft() if self.faults[operation] else None
        if fault is None or fault.after:
            status, said = self.work(operation, handler.path, body)
        if fault is not None:
            status, said = fault.status, fault.body
        if fault is not None and fault.hang:
            self.released.wait(30)
            handler.close_connection = True
            return
        content = said.encode()
        handler.send_response(status)
        for name, value in (fault.headers if fault else {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def work(self, operation: str, path: str, body: bytes) -> tuple[int, str]:
        if operation == "put":
            return self.take_zip(path.rsplit("/", 1)[-1], body)
        asked = json.loads(body)
        signature = {"timestamp": asked.get("timestamp"), "signature": asked.get("signature")}
        if not is_genuine(**signature, partner_id=PARTNER_ID, api_key=API_KEY):
            return 400, '{"code": "2205", "error": "You are not authorized to do that"}'
        return self.announce(asked) if operation == "upload" else self.tell(asked)

    def announce(self, asked: dict[str, Any]) -> tuple[int, str]:
        params = asked["partner_params"]
        if params["job_id"] in self.jobs:
            return 400, '{"code": "2215", "error": "Job already exists for job_id"}'
        self.jobs[params["job_id"]] = Job(params)
        host = self.upload_host or f"http://{self.address}"
        address = f"{host}/bucket/{params['job_id']}"
        return 200, json.dumps({"code": "2202", "upload_url": address, "smile_job_id": "0000001897"})

    def take_zip(self, job_id: str, body: bytes) -> tuple[int, str]:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            self.jobs[job_id].content = {name: archive.read(name) for name in archive.namelist()}
        self.jobs[job_id].uploads += 1
        return 200, ""

    def tell(self, asked: dict[str, Any]) -> tuple[int, str]:
        job = self.jobs.get(asked["job_id"])
        known: dict[str, Any] = {"job_complete": False, "job_success": False, "code": "2302"}
        if job is None or not job.content:
            known["result"] = "No zip uploaded yet"
        elif job.outcome is not None:
            known |= job.outcome
        return 200, json.dumps(known | self.signed())

    def signed(self) -> dict[str, str]:
        return signed_at(datetime.now(UTC), "another key" if self.forges else API_KEY)

    def callback(self, reference: str = "", **changes: Any) -> dict[str, Any]:
        """What Smile ID posts about a job."""
        job = self.jobs[reference] if reference else self.job
        result = job.outcome["result"] if job.outcome else {"PartnerParams": job.params}
        return {**result, **self.signed(), **changes}


def signed_at(moment: datetime, api_key: str = API_KEY) -> dict[str, str]:
    timestamp = moment.isoformat(timespec="milliseconds")
    signature = signature_of(timestamp=timestamp, partner_id=PARTNER_ID, api_key=api_key)
    return {"timestamp": timestamp, "signature": signature}
