"""Imported by the processes that tests start: TEST_EXIT_SECONDS, where it is set, is what an end may take.

A busy machine may need longer for the last spans and errors than production allows. So tests that count what
an orderly end loses allow more, and tests of a server that hangs do not.
"""

import os

from observability.telemetry import processes

processes.EXIT_SECONDS = float(os.environ.get("TEST_EXIT_SECONDS") or processes.EXIT_SECONDS)

# Nothing is given up because it was slow.
PATIENT = {"TEST_EXIT_SECONDS": "60", "OTEL_EXPORTER_OTLP_TIMEOUT": "60"}
# An end takes its usual time, though an export may take ten minutes.
HELD_UP = {"TEST_EXIT_SECONDS": "", "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
