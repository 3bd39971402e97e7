"""What one ordinary request costs: bare Django, Amani's metrics and logs, the usual set-up."""
