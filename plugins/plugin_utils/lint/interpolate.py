# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables in a Compose file: $X, ${X}, ${X:-default}, ${X-default}, ${X:+other}, ${X+other}, ${X:?message}, $$.

The grammar is the one of the Compose specification (12-interpolation.md); defaults may hold variables again.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":+", ":?", "-", "+", "?")


def interpolate(text, environment, unset):
    """The text with its variables replaced; names without a value and without a default are added to `unset`.

    environment: {name: text}. What is no variable stays as it is: Compose would refuse it, and says so best itself.
    """
    if "$" not in text:
        return text
    parts, at = [], 0
    while at < len(text):
        mark = text.find("$", at)
        if mark < 0:
            break
        parts.append(text[at:mark])
        value, at = _variable(text, mark, environment, unset)
        parts.append(value)
    parts.append(text[at:])
    return "".join(parts)


def _variable(text, mark, environment, unset):
    """(value, index behind it) of what the $ at `mark` begins."""
    following = text[mark + 1 : mark + 2]
    if following == "$":
        return "$", mark + 2
    bare = _NAME.match(text, mark + 1)
    if bare:
        return _plain(bare.group(), environment, unset), bare.end()
    name = _NAME.match(text, mark + 2) if following == "{" else None
    end = _closing(text, mark + 1) if name else -1
    if end < 0:
        return "$", mark + 1
    rest = text[name.end() : end]
    operator = next((sign for sign in _OPERATORS if rest.startswith(sign)), "")
    if rest and not operator:
        return text[mark : end + 1], end + 1
    return _operated(name.group(), operator, rest[len(operator) :], environment, unset), end + 1


def _plain(name, environment, unset):
    if name not in environment:
        unset.add(name)
    return environment.get(name, "")


def _operated(name, operator, word, environment, unset):
    # A colon lets an empty value count as none.
    given = bool(environment.get(name)) if operator.startswith(":") else name in environment
    if operator.endswith("-"):
        return environment[name] if given else interpolate(word, environment, unset)
    if operator.endswith("+"):
        return interpolate(word, environment, unset) if given else ""
    if operator.endswith("?") and not given:
        unset.add(name)
        return ""
    return _plain(name, environment, unset)


def _closing(text, brace):
    """The index of the } that closes the { at `brace`; -1 where there is none."""
    depth = 0
    for index in range(brace, len(text)):
        if text[index] == "{":
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    return -1
