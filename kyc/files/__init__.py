"""Detects and sanitises files. Pure functions from bytes to bytes, without Django."""
