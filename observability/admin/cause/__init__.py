"""Helps to find the cause of an alert: links to traces, errors, dashboards and log lines of its subject."""
