"""Says what a rule would have done: reads the past of its expression, and replays the rule over it.

series.py reads from Prometheus, replay.py decides as Prometheus would, fidelity.py compares with what it did.
"""
