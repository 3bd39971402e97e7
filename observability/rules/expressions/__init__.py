"""Expressions of rules: parsed in a process of its own, split at their threshold, judged by Prometheus.

scanning.py finds the tokens, splitting.py reads the tree (only child.py, in the other process, imports the
parser), reading.py starts that process, judging.py asks Prometheus whether an expression is valid, lints.py
finds what is likely to be wrong with it.
"""
