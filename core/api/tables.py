"""Tables that people download as CSV: streamed row by row, and safe to open in a spreadsheet.

How an app uses it:

    return csv_response("statement.csv", ("at", "title", "amount"), rows())   # rows: any iterator of tuples
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence

from django.http import StreamingHttpResponse

# A spreadsheet runs a cell that begins so as a formula (owasp.org/www-community/attacks/CSV_Injection), also
# with blanks in front. A number is none, whatever its sign.
FORMULA = re.compile(r"[\s]*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
ROWS_AT_ONCE = 200
CSV_TYPE = "text/csv; charset=utf-8"


class Line:
    """What csv writes to: keeps the text that was written last."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text = text


def safe_cell(value: object) -> str:
    """Returns the value as text, with an apostrophe in front of what a spreadsheet would run as a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def csv_lines(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    line = Line()
    writer = csv.writer(line)
    for row in rows:
        writer.writerow([safe_cell(value) for value in row])
        yield line.text


def csv_chunks(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """Yields the table in chunks of ROWS_AT_ONCE lines: a chunk for each line would be slow to send."""
    chunk = list(csv_lines([columns]))
    for text in csv_lines(rows):
        chunk.append(text)
        if len(chunk) >= ROWS_AT_ONCE:
            yield "".join(chunk).encode()
            chunk.clear()
    yield "".join(chunk).encode()


def csv_response(
    filename: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> StreamingHttpResponse:
    """Returns a download that asks `rows` for more only as the client reads."""
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return StreamingHttpResponse(csv_chunks(columns, rows), content_type=CSV_TYPE, headers=headers)
