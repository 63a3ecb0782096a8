# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The site as a drawing: where each box and each line of the map lies. The same site gives the same drawing, so that two of
them can be laid beside each other; the template makes SVG of it (page.html.j2).

The internet is above, the gateways below it, then the tiers side by side, in rows of at most PER_ROW lanes. A line is drawn
for each two places between which a flow is declared, in one direction or both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import GATEWAY, INTERNET
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count

#: Sizes in units of the drawing, which the page scales to its width.
LANE, GAP, MARGIN, LINE = 250, 40, 24, 18
HEAD, BAND = 44, 130
PER_ROW = 6
#: Lines of text in a lane, and how many lanes there may be until those without a finding are folded to their names.
MOST_LINES, MOST_LANES = 12, 12
#: Characters of a line of a lane, before it is cut.
LETTERS = 32

#: The names of two places, and a point of the drawing.
Ends = tuple[str, str]
Point = tuple[float, float]


class Box(NamedTuple):
    """A place of the map. lines: what stands in it; kind: internet, gateway, tier or network."""

    name: str
    kind: str
    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


class Edge(NamedTuple):
    """A line between two places: its path in SVG's words, what passes each way, and a short label for its middle."""

    ends: Ends
    path: str
    text: str
    wrong: bool
    both: bool
    label: str
    middle: Point


class Drawing(NamedTuple):
    width: int
    height: int
    boxes: list[Box]
    edges: list[Edge]


def draw(data: Mapping[str, Any]) -> Drawing:
    """The map of report_data's answer."""
    folded = len(data["places"]) > MOST_LANES
    wrong = {place for finding in data["findings"] for cell in finding["cells"] for place in cell}
    lanes = [name for name in data["places"] if name not in (GATEWAY, INTERNET)]
    columns = max(1, min(PER_ROW, len(lanes)))
    width = 2 * MARGIN + columns * LANE + (columns - 1) * GAP
    boxes = [
        _band(INTERNET, MARGIN, width, ["everything that the site is not"]),
        _band(GATEWAY, MARGIN + BAND, width, _gateway_lines(data)),
    ]
    top = MARGIN + 2 * BAND + LINE
    for at in range(0, len(lanes), columns):
        row = lanes[at : at + columns]
        texts = [[] if folded and name not in wrong else _lane_lines(data, name) for name in row]
        height = HEAD + LINE * max(1, *(len(lines) for lines in texts))
        for place, (name, lines) in enumerate(zip(row, texts)):
            kind = "tier" if name in data["site"]["tiers"] else "network"
            boxes.append(Box(name, kind, MARGIN + place * (LANE + GAP), top, LANE, height, tuple(lines)))
        top += height + BAND
    return Drawing(width, top, boxes, _edges(data, {box.name: box for box in boxes}))


def _band(name: str, y: int, width: int, lines: Sequence[str]) -> Box:
    room = min(width - 2 * MARGIN, 2 * LANE)
    return Box(name, name, (width - room) // 2, y, room, HEAD + LINE, tuple(lines[:1]))


def _gateway_lines(data: Mapping[str, Any]) -> list[str]:
    hosts = [name for name, legs in data["hosts"].items() if any(place == GATEWAY for _address, place in legs)]
    legs = [leg for tier in data["site"]["tiers"].values() for leg in tier["gateways"]]
    return [", ".join(hosts or legs) or "no router is declared"]


def _lane_lines(data: Mapping[str, Any], name: str) -> list[str]:
    """What stands in a tier's lane: its VLAN and subnets, its networks, its hosts."""
    site = data["site"]
    tier = site["tiers"].get(name)
    if tier is None:
        return [site["networks"].get(name, {}).get("subnet", "")]
    lines = [f"VLAN {tier['vlan']}"] if tier["vlan"] else []
    lines += tier["subnets"]
    lines += [f"⬡ {network} {one['subnet']}" for network, one in site["networks"].items() if name in one["on"]]
    for host, legs in data["hosts"].items():
        lines += [f"{host} {address}" for address, place in legs if place == name]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"and {len(lines) - MOST_LINES + 1:,} more"]
    return [line if len(line) <= LETTERS else f"{line[: LETTERS - 1]}…" for line in lines]


def _edges(data: Mapping[str, Any], boxes: Mapping[str, Box]) -> list[Edge]:
    passing: dict[Ends, dict[Ends, list[Any]]] = {}
    for cell in data["cells"]:
        pair = cell["from"], cell["to"]
        if cell["services"] and pair[0] != pair[1]:
            passing.setdefault((min(pair), max(pair)), {})[pair] = cell["services"]
    ways = {sorted(found)[0]: found for found in passing.values()}
    docks = _docks(ways, boxes)
    edges = []
    for ends, found in sorted(ways.items()):
        parts, label = [], set()
        for (start, end), services in sorted(found.items()):
            names = list(dict.fromkeys(service["name"] for service in services))
            label.update(names)
            parts.append(f"{start} → {end}: {', '.join(names)}")
        wrong = any(one["live"] == "wrong" for services in found.values() for one in services)
        path, middle = _curve(docks[ends, ends[0]], docks[ends, ends[1]], boxes[ends[0]].y == boxes[ends[1]].y)
        text = next(iter(label)) if len(label) == 1 else count(len(label), "service")
        edges.append(Edge(ends, path, "; ".join(parts), wrong, len(found) > 1, text, middle))
    return edges


def _docks(edges: Iterable[Ends], boxes: Mapping[str, Box]) -> dict[tuple[Ends, str], Point]:
    """Where each line meets each of its boxes: side by side along an edge of it, in the order of where they lead."""
    sides: dict[tuple[str, bool], list[tuple[float, Ends]]] = {}
    for ends in edges:
        for name, other in (ends, ends[::-1]):
            below = boxes[other].y >= boxes[name].y
            sides.setdefault((name, below), []).append((boxes[other].middle, ends))
    docks: dict[tuple[Ends, str], Point] = {}
    for (name, below), leading in sides.items():
        box = boxes[name]
        for place, (_where, ends) in enumerate(sorted(leading)):
            x = box.x + box.width * (place + 1) / (len(leading) + 1)
            docks[ends, name] = (x, float(box.y + box.height * below))
    return docks


def _curve(start: Point, end: Point, beside: bool) -> tuple[str, Point]:
    """A line's path and its middle: an arc below lanes of one row, else from the bottom of one box to the top of another."""
    (x1, y1), (x2, y2) = start, end
    if beside:
        depth = min(BAND - 20.0, 22 + abs(x2 - x1) / 9)
        y1 = y2 = max(y1, y2)
        path = f"M {x1:.0f} {y1:.0f} C {x1:.0f} {y1 + depth:.0f} {x2:.0f} {y2 + depth:.0f} {x2:.0f} {y2:.0f}"
        return path, ((x1 + x2) / 2, y1 + depth * 0.75)
    half = (y1 + y2) / 2
    path = f"M {x1:.0f} {y1:.0f} C {x1:.0f} {half:.0f} {x2:.0f} {half:.0f} {x2:.0f} {y2:.0f}"
    if abs(y2 - y1) <= BAND:
        return path, ((x1 + x2) / 2, half)
    # Past other boxes: its label stands near the lower end.
    (low_x, low_y), far = ((x1, y1), x2) if y1 > y2 else ((x2, y2), x1)
    return path, (low_x + (far - low_x) * 0.03, low_y - 34)
