"""Where spans come from (requests, statements, tasks, cache, outgoing calls) and how they leave.

Of OpenTelemetry's contrib instrumentations only that for outgoing calls is used; docs/adr/0007 says why.
observability/tracing.py is the public side of all this.
"""
