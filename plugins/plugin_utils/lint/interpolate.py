# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables in a Compose file: $X, ${X}, ${X:-default}, ${X-default}, ${X:+other}, ${X+other}, ${X:?message}, $$.

The grammar is the one of the Compose specification (12-interpolation.md); defaults may hold variables again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":+", ":?", "-", "+", "?")

#: Defaults that hold variables with defaults that hold ...: Compose files of people have two or three.
MOST_NESTED = 20
#: Characters of one text once its variables are replaced.
LONGEST = 1_000_000


class Excessive(Exception):
    """A text whose variables are nested too deep or make it too long; says what, as a clause."""


def interpolate(text: str, environment: Mapping[str, str], unset: set[str]) -> str:
    """The text with its variables replaced; names without a value and without a default are added to `unset`.

    environment: {name: text}. What is no variable stays as it is: Compose would refuse it, and says so best itself.
    Takes time in proportion to the text; raises Excessive.
    """
    if "$" not in text:
        return text
    return _replaced(text, 0, len(text), _braces(text), environment, unset, 0)


def _braces(text: str) -> dict[int, int]:
    """{index of a {: index of the } that closes it}."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for match in re.finditer(r"[{}]", text):
        if match.group() == "{":
            opened.append(match.start())
        elif opened:
            found[opened.pop()] = match.start()
    return found


def _replaced(
    text: str,
    first: int,
    last: int,
    braces: Mapping[int, int],
    environment: Mapping[str, str],
    unset: set[str],
    depth: int,
) -> str:
    """text[first:last] with its variables replaced."""
    if depth > MOST_NESTED:
        raise Excessive(f"variables are nested more than {MOST_NESTED} deep")
    parts: list[str] = []
    length, at = 0, first
    while at < last:
        mark = text.find("$", at, last)
        if mark < 0:
            break
        value, after = _variable(text, mark, last, braces, environment, unset, depth)
        parts += (text[at:mark], value)
        length += mark - at + len(value)
        if length > LONGEST:
            raise Excessive(f"variables make a text of more than {LONGEST:,} characters")
        at = after
    parts.append(text[at:last])
    return "".join(parts)


def _variable(
    text: str,
    mark: int,
    last: int,
    braces: Mapping[int, int],
    environment: Mapping[str, str],
    unset: set[str],
    depth: int,
) -> tuple[str, int]:
    """(value, index behind it) of what the $ at `mark` begins."""
    following = text[mark + 1 : min(mark + 2, last)]
    if following == "$":
        return "$", mark + 2
    bare = _NAME.match(text, mark + 1, last)
    if bare:
        return _plain(bare.group(), environment, unset), bare.end()
    name = _NAME.match(text, mark + 2, last) if following == "{" else None
    end = braces.get(mark + 1, -1) if name else -1
    if name is None or not 0 <= end < last:
        return "$", mark + 1
    operator = next((sign for sign in _OPERATORS if text.startswith(sign, name.end())), "")
    if name.end() < end and not operator:
        return text[mark : end + 1], end + 1
    given = bool(environment.get(name.group())) if operator.startswith(":") else name.group() in environment
    word = name.end() + len(operator)
    # A colon lets an empty value count as none.
    if operator.endswith("-") and not given:
        return _replaced(text, word, end, braces, environment, unset, depth + 1), end + 1
    if operator.endswith("+"):
        return _replaced(text, word, end, braces, environment, unset, depth + 1) if given else "", end + 1
    if operator.endswith("?") and not given:
        unset.add(name.group())
        return "", end + 1
    return _plain(name.group(), environment, unset), end + 1


def _plain(name: str, environment: Mapping[str, str], unset: set[str]) -> str:
    if name not in environment:
        unset.add(name)
    return environment.get(name, "")
