"""Receives, sanitises, encrypts, shows and deletes the images of identity documents."""

from kyc.documents.cleaning import CleanImage, clean
from kyc.documents.errors import Busy
from kyc.documents.files import StoredImages, read, stored
from kyc.documents.removal import delete_files_of
from kyc.documents.turns import turn
from kyc.documents.upload import received

__all__ = [
    "Busy",
    "CleanImage",
    "StoredImages",
    "clean",
    "delete_files_of",
    "read",
    "received",
    "stored",
    "turn",
]
