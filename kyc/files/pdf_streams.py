"""Checks the compressed streams of a PDF against limits, and removes metadata from photographs in them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from pypdf.filters import ASCII85Decode, ASCIIHexDecode
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, StreamObject

from kyc.files import jpeg
from kyc.files.images import MOST_PIXELS
from kyc.files.refusal import FileProblem, Reason

MOST_INFLATED_BYTES = 200 * 2**20  # of all streams together, which a reviewer's browser decompresses
MOST_UNWRAPPED_BYTES = 32 * 2**20  # of one stream, which this process decompresses
FLATE, PHOTOGRAPH, FAX = "/FlateDecode", "/DCTDecode", "/CCITTFaxDecode"
TEXT: dict[str, Callable[[bytes], bytes]] = {
    "/ASCII85Decode": ASCII85Decode.decode,
    "/ASCIIHexDecode": ASCIIHexDecode.decode,
}
FILTERS = frozenset({FLATE, PHOTOGRAPH, FAX, *TEXT})


def checked_stream(stream: StreamObject) -> int:
    """Returns the decompressed size in bytes. Removes the metadata of a photograph. Raises FileProblem."""
    refuse_pixels(number_in(stream, "/Width") * number_in(stream, "/Height"))
    unwrap(stream)
    packing = filters_of(stream)
    if packing == [FLATE]:
        return inflated_size(stored(stream))
    if packing == [PHOTOGRAPH]:
        store(stream, photograph(stored(stream)))
    return len(stored(stream))


def stored(stream: StreamObject) -> bytes:
    """Returns the bytes that the file has. The `get_data` of a stream with filters would decode them."""
    return StreamObject.get_data(stream)


def store(stream: StreamObject, data: bytes) -> None:
    """Replaces the bytes that the file has. The `set_data` of a stream with filters would encode them."""
    StreamObject.set_data(stream, data)


def unwrap(stream: StreamObject) -> None:
    """Decodes all filters but the innermost, and those that encode bytes as text."""
    filters, parameters = filters_of(stream), listed(stream, "/DecodeParms")
    if not FILTERS.issuperset(filters) or len(set(filters)) != len(filters):
        raise not_taken()
    while len(filters) > 1 or TEXT.keys() & set(filters):
        if parameters and isinstance(parameters.pop(0), DictionaryObject):
            raise not_taken()  # a predictor, which has no use for compressed pictures
        store(stream, unwrapped(stored(stream), filters.pop(0)))
    name(stream, filters, parameters)


def unwrapped(data: bytes, packing: str) -> bytes:
    if packing in TEXT:
        return TEXT[packing](data)
    if packing != FLATE:
        raise not_taken()
    result = zlib.decompressobj().decompress(data, MOST_UNWRAPPED_BYTES + 1)
    if len(result) > MOST_UNWRAPPED_BYTES:
        raise too_large()
    return result


def name(stream: StreamObject, filters: list[str], parameters: list[Any]) -> None:
    """Sets the stream's entries for its filters."""
    for key, values in (("/Filter", [NameObject(text) for text in filters]), ("/DecodeParms", parameters)):
        stream.pop(key, None)
        if values:
            stream[NameObject(key)] = ArrayObject(values)


def photograph(data: bytes) -> bytes:
    """Returns the JPEG without metadata. Checks its real size, which can differ from the PDF's entries."""
    skeleton = jpeg.skeleton_of(data)
    refuse_pixels(skeleton.width * skeleton.height)
    return skeleton.content


def filters_of(stream: StreamObject) -> list[str]:
    return [str(value) for value in listed(stream, "/Filter")]


def listed(stream: StreamObject, key: str) -> list[Any]:
    """Returns the entry as a list of resolved values."""
    value: Any = stream[key] if key in stream else None  # noqa: SIM401  (pypdf's get follows no reference)
    several = value if isinstance(value, list) else [] if value is None else [value]
    return [one.get_object() for one in several]


def number_in(stream: StreamObject, key: str) -> int:
    value = (listed(stream, key) or [0])[0]
    if not isinstance(value, int):
        raise too_many_pixels()
    return abs(value)


def refuse_pixels(count: int) -> None:
    if count > MOST_PIXELS:
        raise too_many_pixels()


def inflated_size(data: bytes) -> int:
    """Returns the decompressed size in bytes, counted piece by piece. Raises FileProblem over the limit."""
    inflater, total = zlib.decompressobj(), 0
    while data and not inflater.eof:
        total += len(inflater.decompress(data, 2**20))
        refuse_inflated(total)
        data = inflater.unconsumed_tail
    return total


def refuse_inflated(total: int) -> None:
    if total > MOST_INFLATED_BYTES:
        raise too_large()


def too_large() -> FileProblem:
    return FileProblem(Reason.BOMB, "This PDF is too large when decompressed. Send a smaller one.")


def too_many_pixels() -> FileProblem:
    return FileProblem(Reason.BOMB, "A picture in this PDF has too many pixels. Send a smaller one.")


def not_taken() -> FileProblem:
    return FileProblem(
        Reason.UNREADABLE, "This PDF uses a compression that is not supported. Send photographs instead."
    )
