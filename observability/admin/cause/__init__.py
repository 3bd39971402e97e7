"""From an alert to its cause: the traces, errors, dashboard and log lines of what it is about."""
