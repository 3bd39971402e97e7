"""The Markdown of docs/runbooks as HTML: headings, lists, fenced code, tables, paragraphs.

Only what the runbooks use. Everything is escaped. What is indented under an item is rendered as a text of its
own, so that steps may hold code and lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from textwrap import dedent

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

ITEM = re.compile(r"(?:[-*]|\d+\.) +")
HEADING = re.compile(r"(#{1,6}) +(.*)")
INLINE = re.compile(
    r"`([^`]+)`|\*\*(.+?)\*\*|\*(.+?)\*|\[([^\]]+)\]\(([^)\s]+)\)|(https?://[^\s)<>,]+[^\s)<>,.:])"
)

Link = Callable[[str], str]


def render(text: str, link: Link = str) -> SafeString:
    """`text` as HTML. `link` turns the target of a link into an address; "" drops the link."""
    return mark_safe("".join(blocks(text.splitlines(), link)))  # noqa: S308  (escaped piece by piece)


def blocks(lines: list[str], link: Link) -> list[str]:
    found: list[str] = []
    position = 0
    while position < len(lines):
        line = lines[position]
        end = position + 1
        if line.startswith("```"):
            end = fence_end(lines, position)
            found.append(
                f"<pre><code>{escape(dedent(chr(10).join(lines[position + 1 : end - 1])))}</code></pre>"
            )
        elif heading := HEADING.fullmatch(line):
            level = len(heading[1])
            found.append(f"<h{level}>{inline(heading[2], link)}</h{level}>")
        elif ITEM.match(line):
            end = list_end(lines, position)
            found.append(list_of(lines[position:end], link))
        elif line.startswith("|"):
            end = run_end(lines, position, lambda other: other.startswith("|"))
            found.append(table_of(lines[position:end], link))
        elif line.strip():
            end = run_end(lines, position, is_plain)
            found.append(f"<p>{inline(' '.join(part.strip() for part in lines[position:end]), link)}</p>")
        position = end
    return found


def is_plain(line: str) -> bool:
    return (
        bool(line.strip())
        and not line.startswith(("```", "|"))
        and not ITEM.match(line)
        and not HEADING.match(line)
    )


def run_end(lines: list[str], start: int, belongs: Callable[[str], bool]) -> int:
    end = start + 1
    while end < len(lines) and belongs(lines[end]):
        end += 1
    return end


def fence_end(lines: list[str], start: int) -> int:
    """The line after the closing fence, or the end of the text."""
    for end in range(start + 1, len(lines)):
        if lines[end].startswith("```"):
            return end + 1
    return len(lines) + 1


def list_end(lines: list[str], start: int) -> int:
    """Items follow each other; what is indented, and blank lines before such, belong to the item."""
    end = start + 1
    while end < len(lines):
        following = next((line for line in lines[end:] if line.strip()), "")
        if lines[end].strip() and not (ITEM.match(lines[end]) or lines[end].startswith("  ")):
            break
        if not lines[end].strip() and not (ITEM.match(following) or following.startswith("  ")):
            break
        end += 1
    return end


def list_of(lines: list[str], link: Link) -> str:
    items: list[list[str]] = []
    for line in lines:
        if start := ITEM.match(line):
            items.append([line[start.end() :]])
        else:
            items[-1].append(line)
    tag = "ol" if lines[0][0].isdigit() else "ul"
    return f"<{tag}>{''.join(f'<li>{item_of(item, link)}</li>' for item in items)}</{tag}>"


def item_of(lines: list[str], link: Link) -> str:
    inner = dedent("\n".join(lines[1:])).splitlines()
    lazy = run_end(["", *inner], 0, is_plain) - 1  # the rest of the item's first sentence
    first = inline(" ".join([lines[0], *(line.strip() for line in inner[:lazy])]), link)
    return first + "".join(blocks(inner[lazy:], link))


def table_of(lines: list[str], link: Link) -> str:
    rows = [[inline(cell.strip(), link) for cell in line.strip().strip("|").split("|")] for line in lines]
    head = "".join(f"<th>{cell}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows[2:])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def inline(text: str, link: Link) -> str:
    """Code, bold, emphasis, links; all other text escaped."""
    found: list[str] = []
    position = 0
    for match in INLINE.finditer(text):
        found += [escape(text[position : match.start()]), inline_part(match, link)]
        position = match.end()
    return "".join([*found, escape(text[position:])])


def inline_part(match: re.Match[str], link: Link) -> str:
    code, bold, emphasis, words, target, address = match.groups()
    if code is not None:
        return f"<code>{escape(code)}</code>"
    if bold is not None:
        return f"<strong>{inline(bold, link)}</strong>"
    if emphasis is not None:
        return f"<em>{inline(emphasis, link)}</em>"
    href = address or link(target)
    label = escape(address) if address else inline(words, link)
    return f'<a href="{escape(href)}">{label}</a>' if href else label
