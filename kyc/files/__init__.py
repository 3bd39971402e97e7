"""What a file is, and how it becomes harmless. Pure: bytes in, bytes out, nothing of Django."""
