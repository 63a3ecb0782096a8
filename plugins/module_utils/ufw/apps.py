# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ufw's application profiles: named lists of ports in ``/etc/ufw/applications.d``."""

from __future__ import annotations

import os

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError

# Left by package managers and editors; ufw skips the same ones.
_SKIPPED = (".dpkg-new", ".dpkg-old", ".dpkg-dist", ".rpmnew", ".rpmsave", "~")


def read_profiles(directory: str) -> dict[str, str]:
    """The profiles as name -> the text of ``ports``; an unreadable file is skipped, as ufw does."""
    import configparser  # for the few rulesets that name a profile

    profiles: dict[str, str] = {}
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    for name in names:
        path = os.path.join(directory, name)
        if name.startswith(".") or name.endswith(_SKIPPED) or not os.path.isfile(path):
            continue
        parser = configparser.RawConfigParser()
        try:
            parser.read(path)
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue
        for section in parser.sections():
            if parser.has_option(section, "ports"):
                profiles[section] = parser.get(section, "ports")
    return profiles


def find_profile(name: str, profiles: dict[str, str]) -> str:
    """The exact name of a profile; ufw ignores the case where that is unambiguous. RulesetError where there is none."""
    if name in profiles:
        return name
    found = [known for known in sorted(profiles) if known.lower() == name.lower()]
    if len(found) == 1:
        return found[0]
    if found:
        raise RulesetError(f"got {name!r}, which matches the profiles {', '.join(found)}; write one of them exactly")
    raise RulesetError(f"got {name!r}; expected a profile of /etc/ufw/applications.d; `ufw app list` shows them")


def profile_ports(ports: str) -> list[tuple[str, str]]:
    """``6881/tcp|4444/udp|53`` -> [(ports, protocol)], the protocol ``any`` where none is named."""
    pairs = []
    for item in ports.split("|"):
        port, _slash, proto = item.strip().partition("/")
        pairs.append((port, proto or "any"))
    return pairs
