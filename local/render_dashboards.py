"""Draws the dashboards for docs/dashboards.md: our own drawing of the same queries, not Grafana's.

python -m local.render_dashboards http://localhost:9090 docs/pictures

asks a Prometheus that has watched Amani for a while, and makes a picture of each dashboard with Chromium.
"""

from __future__ import annotations

import argparse
import html
import math
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import sync_playwright

from local.dashboards.__main__ import DASHBOARDS

Json = dict[str, Any]
Series = tuple[str, list[tuple[float, float]]]  # name, and (time, value)

COLORS = ("#56a64b", "#3274d9", "#ff9830", "#e02f44", "#a352cc", "#00a3a3", "#8a6d3b", "#c15c8d")
UNIT = 37  # pixels of one row of the grid
POINTS = 240
STYLE = """
body { margin: 0; padding: 12px; width: 1400px; background: #f4f5f5 }
body { font: 12px "DejaVu Sans", sans-serif; color: #24292e }
h1 { font-size: 18px; margin: 2px 4px 10px } h2 { font-size: 13px; margin: 10px 4px 0 }
main { display: grid; grid-template-columns: repeat(24, 1fr); gap: 6px }
section { background: #fff; border: 1px solid #dcdee0; padding: 6px 8px; overflow: hidden }
section { box-sizing: border-box }
h3 { font-size: 12px; margin: 0 0 4px } .row { grid-column: span 24 }
.big { font-size: 22px; margin: 4px 10px 0 0; display: inline-block }
.big small { font-size: 11px; color: #6a737d }
.legend span { margin-right: 10px; white-space: nowrap } table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: 2px 8px 2px 0; border-bottom: 1px solid #eee; font-size: 11px }
.none { color: #8a9299 } .ring { display: flex }
.ring svg { flex: none }
"""


class Answers:
    """What a Prometheus says about the last `hours`."""

    def __init__(self, url: str, hours: float) -> None:
        self.url = url
        self.end = time.time()
        self.start = self.end - hours * 3600
        self.step = max(15, round((self.end - self.start) / POINTS))
        self.variables = {
            "$__rate_interval": f"{max(60, self.step)}s",
            "$__range": f"{round(self.end - self.start)}s",
            "$instance": ".*",
        }

    def ask(self, target: Json, hidden: Collection[str] = ()) -> list[Series]:
        query = target["expr"]
        for name, value in self.variables.items():
            query = query.replace(name, value)
        path, asked = "query", {"query": query, "time": str(self.end)}
        if not target["instant"]:
            path = "query_range"
            asked = {"query": query, "start": str(self.start), "end": str(self.end), "step": str(self.step)}
        answer = requests.get(f"{self.url}/api/v1/{path}", params=asked, timeout=60).json()
        found = []
        for series in answer["data"]["result"]:
            values = series["values"] if "values" in series else [series["value"]]
            points = [(float(at), float(value)) for at, value in values]
            name = legend(target["legendFormat"], series["metric"], hidden)
            found.append((name, [point for point in points if math.isfinite(point[1])]))
        return sorted((name, points) for name, points in found if points)


def legend(pattern: str, labels: dict[str, str], hidden: Collection[str]) -> str:
    if pattern == "__auto":
        return ", ".join(value for name, value in labels.items() if name not in hidden)
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), pattern).strip()


def hidden_labels(panel: Json) -> list[str]:
    steps = panel.get("transformations", [])
    return [name for step in steps for name in step["options"].get("excludeByName", {})]


def with_unit(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "bytes":
        power = min(int(math.log(max(value, 1), 1024)), 4)
        return f"{value / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
    if unit == "s":
        for size, name in ((86400, "days"), (3600, "h"), (60, "min"), (1, "s")):
            if value >= size:
                return f"{value / size:.3g} {name}"
        return f"{value * 1000:.3g} ms"
    return f"{value:.4g}" + {"reqps": " req/s", "ops": " ops/s"}.get(unit, "")


def text_of(value: float, defaults: Json) -> tuple[str, str]:
    """How a number is shown, and in which colour."""
    for mapping in defaults.get("mappings", []):
        if found := mapping["options"].get(f"{value:.0f}"):
            return found["text"], found["color"]
    color = "black"
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return with_unit(value, defaults["unit"]), color


def draw_lines(panel: Json, series: list[Series], answers: Answers, width: int, height: int) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    limit = next(
        (step["value"] for step in defaults["thresholds"]["steps"] if step["value"] is not None), None
    )
    top = max((value for _, points in series for _, value in points), default=0) * 1.1
    if limit is not None and (top > limit / 3 or top == 0):
        top = max(top, limit * 1.1)
    top = top or 1
    left, bottom = 62, height - 16

    def x(at: float) -> float:
        return left + (at - answers.start) / (answers.end - answers.start) * (width - left - 4)

    def y(value: float) -> float:
        return bottom - value / top * (bottom - 6)

    yield f'<svg width="{width}" height="{height}">'
    for share in (0, 0.25, 0.5, 0.75, 1):
        at = y(top * share)
        label = with_unit(top * share, defaults["unit"])
        yield f'<path d="M{left} {at}H{width}" stroke="#e8e9ea"/>'
        yield f'<text x="{left - 4}" y="{at + 4}" text-anchor="end" font-size="9">{label}</text>'
    for share in (0, 0.25, 0.5, 0.75):
        moment = answers.start + share * (answers.end - answers.start)
        clock = time.strftime("%H:%M", time.gmtime(moment))
        yield f'<text x="{x(moment)}" y="{height - 3}" font-size="9">{clock}</text>'
    if limit is not None and limit <= top:
        yield f'<path d="M{left} {y(limit)}H{width}" stroke="#e02f44" stroke-dasharray="5 4"/>'
    for number, (_, points) in enumerate(series):
        path = ""
        before = 0.0
        for at, value in points:
            path += f"{'L' if at - before < answers.step * 1.5 else 'M'}{x(at):.1f} {y(value):.1f}"
            before = at
        yield f'<path d="{path}" fill="none" stroke="{COLORS[number % len(COLORS)]}" stroke-width="1.5"/>'
    yield "</svg>"
    yield from draw_legend([(name, with_unit(points[-1][1], defaults["unit"])) for name, points in series])


def draw_legend(entries: list[tuple[str, str]]) -> Iterator[str]:
    yield '<div class="legend">'
    for number, (name, value) in enumerate(entries):
        color = COLORS[number % len(COLORS)]
        yield f'<span><b style="color:{color}">■</b> {html.escape(name)} <b>{value}</b></span> '
    yield "</div>"


def draw_numbers(panel: Json, series: list[Series]) -> Iterator[str]:
    for name, points in series:
        text, color = text_of(points[-1][1], panel["fieldConfig"]["defaults"])
        if panel["options"]["textMode"] == "name":
            text, name = name, ""
        yield f'<span class="big" style="color:{color}">{text} <small>{html.escape(name)}</small></span>'


def draw_ring(panel: Json, series: list[Series], height: int) -> Iterator[str]:
    total = sum(points[-1][1] for _, points in series) or 1
    radius = height / 2 - 20
    turn = 2 * math.pi * radius
    begun = 0.0
    yield f'<div class="ring"><svg width="{height}" height="{height}">'
    yield f'<g transform="rotate(-90 {height / 2} {height / 2})">'
    for number, (_, points) in enumerate(series):
        share = points[-1][1] / total
        yield (
            f'<circle cx="{height / 2}" cy="{height / 2}" r="{radius}" fill="none" stroke-width="28" '
            f'stroke="{COLORS[number % len(COLORS)]}" stroke-dasharray="{share * turn} {turn}" '
            f'stroke-dashoffset="{-begun * turn}"/>'
        )
        begun += share
    yield "</g></svg>"
    yield from draw_legend([(name, f"{points[-1][1] / total:.1%}") for name, points in series])
    yield "</div>"


def draw_heat(panel: Json, series: list[Series], answers: Answers, width: int, height: int) -> Iterator[str]:
    ordered = sorted(series, key=lambda one: float(one[0]))
    below: dict[float, float] = {}
    cells = []
    for row, (_, points) in enumerate(ordered):
        for at, value in points:
            cells.append((row, at, max(0.0, value - below.get(at, 0))))
        below.update(points)
    most = max((cell[2] for cell in cells), default=0) or 1
    tall = (height - 4) / max(len(ordered), 1)
    wide = (width - 62) / max((answers.end - answers.start) / answers.step, 1)
    yield f'<svg width="{width}" height="{height}">'
    for row, at, value in cells:
        x = 62 + (at - answers.start) / answers.step * wide
        y = height - (row + 1) * tall
        if value:
            strength = 0.1 + 0.9 * value / most
            yield f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide + 0.3:.1f}" height="{tall:.1f}" '
            yield f'fill="#ff780a" opacity="{strength:.2f}"/>'
    for row, (name, _) in enumerate(ordered):
        if row % 3 == 0:
            label = name if name == "+Inf" else with_unit(float(name), "s")
            at = height - row * tall
            yield f'<text x="58" y="{at}" text-anchor="end" font-size="9">{label}</text>'
    yield "</svg>"


def draw_table(panel: Json, asked: list[list[Series]]) -> Iterator[str]:
    """A row for each set of labels, the largest first; columns of labels are joined into the first."""
    units = {
        override["matcher"]["options"]: override["properties"][0]["value"]
        for override in panel["fieldConfig"]["overrides"]
        if override["properties"][0]["id"] == "unit"
    }
    headings = list(units)
    rows: dict[str, list[str]] = {}
    for column, series in enumerate(asked):
        for name, points in sorted(series, key=lambda one: -one[1][-1][1]):
            cells = rows.setdefault(name, [""] * len(asked))
            if headings:
                cells[column] = with_unit(points[-1][1], units[headings[column]])
    yield "<table><tr><th></th>" + "".join(f"<th>{heading}</th>" for heading in headings) + "</tr>"
    for name, cells in list(rows.items())[:14]:
        shown = cells if headings else []
        yield f"<tr><td>{html.escape(name)}</td>" + "".join(f"<td>{cell}</td>" for cell in shown) + "</tr>"
    yield "</table>"


def draw_panel(panel: Json, answers: Answers) -> str:
    place = panel["gridPos"]
    style = f"grid-column: span {place['w']}; height: {place['h'] * UNIT}px"
    title = f"<h3>{html.escape(panel['title'])}</h3>"
    if panel["type"] == "text":
        return f'<section style="{style}">{title}<p>{html.escape(panel["options"]["content"])}</p></section>'
    asked = [answers.ask(target, hidden_labels(panel)) for target in panel["targets"]]
    series = [one for answer in asked for one in answer]
    width, height = round(place["w"] / 24 * 1370) - 22, place["h"] * UNIT - 90
    draw: dict[str, Callable[[], Iterator[str]]] = {
        "timeseries": lambda: draw_lines(panel, series, answers, width, height),
        "stat": lambda: draw_numbers(panel, series),
        "piechart": lambda: draw_ring(panel, series, height),
        "heatmap": lambda: draw_heat(panel, series, answers, width, height + 50),
        "table": lambda: draw_table(panel, asked),
    }
    drawn = "".join(draw[panel["type"]]()) if series else '<p class="none">no data</p>'
    return f'<section style="{style}">{title}{drawn}</section>'


def page(dashboard: Json, answers: Answers) -> str:
    parts = [f"<style>{STYLE}</style><h1>{dashboard['title']}</h1><main>"]
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            parts.append(f'<h2 class="row">{html.escape(panel["title"])}</h2>')
        else:
            parts.append(draw_panel(panel, answers))
    return "<!doctype html><meta charset=utf-8>" + "".join(parts) + "</main>"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.render_dashboards", description=__doc__)
    parser.add_argument("prometheus")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, default=1)
    parser.add_argument("--only", nargs="*", default=list(DASHBOARDS))
    chosen = parser.parse_args()
    chosen.folder.mkdir(exist_ok=True)
    answers = Answers(chosen.prometheus, chosen.hours)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1424, "height": 400})
        for name in chosen.only:
            tab.set_content(page(DASHBOARDS[name], answers))
            tab.screenshot(path=chosen.folder / f"{Path(name).stem}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
