"""Smile ID (https://docs.usesmileid.com), by its REST API v1."""
