"""What the custom resources of the Prometheus operator may contain, as far as deploy/kubernetes uses them.

No package has these schemas. Names, types, patterns and required fields are those of the published custom
resource definitions (monitoring.coreos.com/v1); a field that is not listed here is refused, even if the
operator has it.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
LIST_OF_TEXTS: Schema = {"type": "array", "items": TEXT}
DURATION: Schema = {
    "type": "string",
    "pattern": r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$",
}


def closed(required: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


RULE = closed(
    ("expr",),
    alert=TEXT,
    record=TEXT,
    expr={"type": ["integer", "string"]},
    keep_firing_for={**DURATION, "minLength": 1},
    labels=TEXTS,
    annotations=TEXTS,
    **{"for": DURATION},
)
ENDPOINT = closed(
    port=TEXT,
    path=TEXT,
    interval=DURATION,
    scrapeTimeout=DURATION,
    authorization=closed(type=TEXT, credentials=closed(("key",), name=TEXT, key=TEXT)),
    relabelings=list_of(closed(sourceLabels=LIST_OF_TEXTS, targetLabel=TEXT)),
)
SPECS = {
    "PrometheusRule": closed(
        groups=list_of(
            closed(("name",), name=NAME, interval=DURATION, limit={"type": "integer"}, rules=list_of(RULE))
        ),
    ),
    "PodMonitor": closed(
        ("podMetricsEndpoints", "selector"),
        jobLabel=TEXT,
        selector=closed(
            matchLabels=TEXTS,
            matchExpressions=list_of(
                closed(("key", "operator"), key=TEXT, operator=TEXT, values=LIST_OF_TEXTS)
            ),
        ),
        podMetricsEndpoints=list_of(ENDPOINT),
    ),
}
