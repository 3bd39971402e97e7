"""The names of OpenTelemetry's semantic conventions that its instrumentations use."""

import os


def use_stable_names() -> None:
    """Ask for the stable names of attributes, unless the operator has chosen.

    Call it before the first instrumentation begins: OpenTelemetry reads the variable once.
    """
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
