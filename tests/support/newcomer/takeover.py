# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docs/takeover.md as it is read: its playbooks and its commands, with a host and a tier of one's own in the place of its `web1` and `web`."""

from __future__ import annotations

import re
from pathlib import Path

_PAGE = (Path(__file__).parents[3] / "docs" / "takeover.md").read_text(encoding="utf-8")


def playbooks() -> dict[str, str]:
    """{name: text} of the playbooks that the page says to write."""
    found = dict(re.findall(r"^`([a-z]+\.yml)`[^\n]*:\n\n```yaml\n(.*?)^```$", _PAGE, flags=re.MULTILINE | re.DOTALL))
    assert set(found) == {"firewalls.yml", "back.yml"}, "the page has other playbooks"
    return found


def commands(heading: str, host: str = "", tier: str = "") -> list[str]:
    """The commands below a heading that begins with some words."""
    (section,) = [part for part in re.split(r"^## ", _PAGE, flags=re.MULTILINE) if part.startswith(heading)]
    found = re.findall(r"^ {4}((?:ansible-playbook|mkdir) .*)$", section, flags=re.MULTILINE)
    assert found, f"no command below {heading}"
    return [re.sub(r"\bweb\b", tier, re.sub(r"\bweb1\b", host, command)) for command in found]
