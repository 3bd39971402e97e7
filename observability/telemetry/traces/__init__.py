"""Where spans come from (requests, statements, tasks, cache, outgoing calls) and how they leave.

OpenTelemetry's own instrumentations make those of requests and outgoing calls, its SDK and its exporters send
all of them; docs/adr/0007 says why the others are made here. observability/tracing.py is the public side.
"""
