"""What lies packed in a PDF: nothing hides from its bounds, nor a photograph from being cleaned."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from pypdf.filters import ASCII85Decode, ASCIIHexDecode
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, StreamObject

from kyc.files import jpeg
from kyc.files.images import MOST_PIXELS
from kyc.files.refusal import Reason, Refused

MOST_INFLATED_BYTES = 200 * 2**20  # of all streams together: what a reviewer's browser would have to hold
MOST_UNWRAPPED_BYTES = 32 * 2**20  # of one stream: this process holds it
FLATE, PHOTOGRAPH, FAX = "/FlateDecode", "/DCTDecode", "/CCITTFaxDecode"
TEXT: dict[str, Callable[[bytes], bytes]] = {
    "/ASCII85Decode": ASCII85Decode.decode,
    "/ASCIIHexDecode": ASCIIHexDecode.decode,
}
FILTERS = frozenset({FLATE, PHOTOGRAPH, FAX, *TEXT})


def checked_stream(stream: StreamObject) -> int:
    """How many bytes it becomes when it is inflated. A photograph in it loses its metadata."""
    refuse_pixels(number_in(stream, "/Width") * number_in(stream, "/Height"))
    unwrap(stream)
    packing = filters_of(stream)
    if packing == [FLATE]:
        return inflated_size(stream._data)  # noqa: SLF001  (get_data would decode it)
    if packing == [PHOTOGRAPH]:
        stream._data = photograph(stream._data)  # noqa: SLF001  (set_data would decode it)
    return len(stream._data)  # noqa: SLF001


def unwrap(stream: StreamObject) -> None:
    """Leaves the innermost filter only, and none that makes text of bytes."""
    filters, parameters = filters_of(stream), listed(stream, "/DecodeParms")
    if not FILTERS.issuperset(filters) or len(set(filters)) != len(filters):
        raise not_taken()
    while len(filters) > 1 or TEXT.keys() & set(filters):
        if parameters and isinstance(parameters.pop(0), DictionaryObject):
            raise not_taken()  # a predictor: nobody packs a packed picture with one
        stream._data = unwrapped(stream._data, filters.pop(0))  # noqa: SLF001
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
    """Says of the stream how it is packed now."""
    for key, values in (("/Filter", [NameObject(text) for text in filters]), ("/DecodeParms", parameters)):
        stream.pop(key, None)
        if values:
            stream[NameObject(key)] = ArrayObject(values)


def photograph(data: bytes) -> bytes:
    """What the PDF says of its size need not be true."""
    skeleton = jpeg.skeleton_of(data)
    refuse_pixels(skeleton.width * skeleton.height)
    return skeleton.content


def filters_of(stream: StreamObject) -> list[str]:
    return [str(value) for value in listed(stream, "/Filter")]


def listed(stream: StreamObject, key: str) -> list[Any]:
    """One value or several, without references."""
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
    """Counted piece by piece; nothing is kept."""
    inflater, total = zlib.decompressobj(), 0
    while data and not inflater.eof:
        total += len(inflater.decompress(data, 2**20))
        refuse_inflated(total)
        data = inflater.unconsumed_tail
    return total


def refuse_inflated(total: int) -> None:
    if total > MOST_INFLATED_BYTES:
        raise too_large()


def too_large() -> Refused:
    return Refused(Reason.BOMB, "This PDF becomes far too large when it is opened. Send it smaller.")


def too_many_pixels() -> Refused:
    return Refused(Reason.BOMB, "A picture in this PDF has too many pixels. Send it smaller.")


def not_taken() -> Refused:
    return Refused(
        Reason.UNREADABLE, "This PDF is packed in a way that is not taken. Send photographs instead."
    )
