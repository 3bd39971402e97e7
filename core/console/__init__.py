"""The building blocks of the operators' pages, for every app: read-only lists and pages, audited actions."""
