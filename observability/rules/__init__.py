"""Alert rules: read from the files that are shipped, kept as rows, compared with what Prometheus has loaded.

files.py reads, sync.py keeps the rows, effective.py applies what operators changed, loaded.py asks
Prometheus, quality.py says how useful they were, preview/ what a change would have done.
"""
