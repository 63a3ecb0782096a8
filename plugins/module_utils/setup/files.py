# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of a host: read, checked, and put into place in one step."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable


class Refusal(Exception):
    """A file cannot be read or written, or did not pass its check; it is as it was."""


class Found(NamedTuple):
    """A file as it is. ``mode`` is None where there is none."""

    text: str
    mode: Optional[int]


def read(path: str) -> Found:
    """A file's text and mode; Refusal where it is none that can be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return Found(file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode))
    except FileNotFoundError:
        return Found("", None)
    except OSError as error:
        raise Refusal(
            f"{path}: got {error.strerror}; expected a file; see what is there. It was not touched."
        ) from error


def write(module: Any, wish: Mapping[str, Any], text: str) -> None:
    """Put a text in a file's place; Refusal where its check does not pass it. wish: path, mode and validate."""
    handle, new = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
    os.chmod(new, int(wish["mode"], 8))
    if wish["validate"]:
        code, out, err = module.run_command(wish["validate"] % new)
        if code:
            said = printable((err or out).strip())
            raise Refusal(
                f"{wish['path']}: got a file that `{wish['validate']}` does not pass ({said}); expected one that it takes; "
                "correct what goes into it. The old one is in place."
            )
    module.atomic_move(new, wish["path"])
    os.chmod(wish["path"], int(wish["mode"], 8))
