# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a real AWX 24.6.1 was asked and answered: 1,287 exchanges, secrets replaced by REDACTED, and the name of an image's registry by another."""

from __future__ import annotations

import functools
import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("transcript-24.6.1.json.gz")


class Exchange(NamedTuple):
    """One request and its answer. ``note``: what it was for; ``auth``: Bearer, Basic USER or none; ``trimmed``: of a
    list, the ids alone were kept."""

    n: int
    note: str
    method: str
    path: str
    query: str
    auth: str
    body: Any
    status: int
    response: Any
    trimmed: bool


@functools.cache
def exchanges() -> tuple[Exchange, ...]:
    """All exchanges, in the order of the file."""
    found = json.loads(gzip.decompress(FILE.read_bytes()))
    every = []
    for item in found:
        first = item
        while "response_same_as" in first:
            first = found[first["response_same_as"]]
        values = {name: item.get(name) for name in Exchange._fields if name not in ("response", "trimmed")}
        every.append(Exchange(**values, response=first["response"], trimmed="trimmed" in item or "trimmed" in first))
    return tuple(every)


@functools.cache
def created() -> dict[str, tuple[Any, Any]]:
    """{type: (body, answer)} of the first object of each type whose creation was recorded whole."""
    found: dict[str, tuple[Any, Any]] = {}
    for one in exchanges():
        if one.method == "POST" and one.status == 201 and isinstance(one.response, dict) and not one.trimmed:
            found.setdefault(str(one.response.get("type")), (one.body, one.response))
    return found
