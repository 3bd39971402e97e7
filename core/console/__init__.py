"""Provides what every app builds its admin pages from: read-only lists and pages, and audited actions."""
