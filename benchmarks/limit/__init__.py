"""The plain limit: the least program that stores and sends what Amani does. Only a measure, not a design."""
