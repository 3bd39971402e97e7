"""The plain limit: the least that stores and tells what Amani does. A yardstick, not a design."""
