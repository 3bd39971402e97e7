"""`python -m benchmarks` prints one table from one run. docs/benchmarks.md says how to read it."""
