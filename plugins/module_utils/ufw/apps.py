# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ufw's application profiles: named lists of ports in ``/etc/ufw/applications.d``, checked as ufw 0.36.2 checks them.

ufw drops a profile that it does not take, with a warning. What it takes though iptables does not (a line break, digits
of another script, a zero in front, which is octal to the kernel) is refused here: one such port, and the next boot
loads none of the rules.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import PROFILES, Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import PORT_PROTOCOLS, ports_problem, sort_ports

#: Left by package managers and editors; ufw skips the same ones.
_SKIPPED = (".dpkg-new", ".dpkg-old", ".dpkg-dist", ".rpmnew", ".rpmsave", "~")
_NAME = r"[a-zA-Z0-9][a-zA-Z0-9 _\-.+]*\Z"
#: Limits of ufw: bytes of all files together, characters of a name or key, of a value.
_MOST_BYTES, _MOST_NAME, _MOST_VALUE = 10 * 1024 * 1024, 64, 1024
_MAX_PORT_SEPARATORS = 14
_SERVICE = r"(?a)\w[\w-]+\Z"


class Profile(NamedTuple):
    """``ports`` are (ports, protocol) pairs as ufw stores them; ``problem`` says why ufw does not take the profile."""

    name: str
    ports: tuple[tuple[str, str], ...]
    problem: str = ""


class UnknownProfile(Exception):
    """No profile of this name can be used: what was expected instead, and what to do."""

    def __init__(self, expected: str, remedy: str) -> None:
        self.expected, self.remedy = expected, remedy
        super().__init__(f"expected {expected}; {remedy}")


def read_profiles(directory: str) -> dict[str, Profile]:
    """The profiles by name, those that ufw does not take too, with the reason; an unreadable file is skipped."""
    import configparser  # for the few rulesets that name a profile

    profiles: dict[str, Profile] = {}
    left = _MOST_BYTES
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else []:
        path = os.path.join(directory, name)
        if name.startswith(".") or name.endswith(_SKIPPED) or not os.path.isfile(path):
            continue
        parser = configparser.RawConfigParser()
        try:
            size = os.stat(path).st_size
            if size > left:
                continue
            left -= size
            parser.read(path)
        except (configparser.Error, UnicodeDecodeError, OSError):
            continue
        for section in parser.sections():
            found = make_profile(section, dict(parser.items(section)))
            # As in ufw, a later profile replaces an earlier one only if it can be used itself.
            if not found.problem or section not in profiles:
                profiles[section] = found
    return profiles


def profiles_of(host: Host) -> Callable[[], dict[str, Profile]]:
    """The application profiles of a host, read the first time that a rule names one."""
    cache: list[dict[str, Profile]] = []

    def load() -> dict[str, Profile]:
        if not cache:
            cache.append(read_profiles(host.path(PROFILES)))
        return cache[0]

    return load


def make_profile(name: str, fields: dict[str, str]) -> Profile:
    """A profile of its fields: usable, or with the first problem that ufw would have with it."""
    problem = name_problem(name) or _field_problem(fields)
    pairs: list[tuple[str, str]] = []
    for item in () if problem else fields["ports"].split("|"):
        port, slash, proto = item.partition("/")
        ports, wrong = _ports(port, proto if slash else "any")
        if wrong:
            problem = f"its ports {fields['ports']!r} are not valid: {wrong}"
            break
        pairs.append((ports, proto if slash else "any"))
    return Profile(name, () if problem else tuple(pairs), problem)


def name_problem(name: str) -> str:
    """Why ufw takes no profile of this name; empty where it does."""
    if len(name) > _MOST_NAME:
        return f"its name has {len(name)} characters, at most {_MOST_NAME} are valid"
    if name == "all":
        return "the name all is reserved"
    if _is_number(name):
        return "a number is a port, not the name of a profile"
    if not re.match(_NAME, name):
        return "its name may have letters, digits, blanks and _ - . + alone, and begins with a letter or a digit"
    try:
        socket.getservbyname(name)
    except (OSError, ValueError):  # a zero byte, or characters that no service has
        return ""
    return f"{name} is a service of /etc/services, which goes before a profile; write it as a port: to_port: {name}"


def _is_number(name: str) -> bool:
    """Whether Python, and so ufw, takes a name for a number."""
    try:
        int(name)
    except ValueError:
        return False
    return True


def _field_problem(fields: dict[str, str]) -> str:
    for key, value in fields.items():
        if len(key) > _MOST_NAME or len(value) > _MOST_VALUE:
            return f"its field {key[:_MOST_NAME]} is too long"
    for key in ("title", "description", "ports"):
        if not fields.get(key):
            return f"it has no {key}"
    return ""


def _ports(text: str, proto: str) -> tuple[str, str]:
    """One item's ports as ufw stores them, and what is wrong with them."""
    if proto not in PORT_PROTOCOLS:
        return "", f"the protocol is {proto!r}, expected tcp or udp"
    if text == "any":
        return text, ""
    items = [_number(item) for item in text.split(",")]
    bad = ports_problem(items)
    if bad is not None:
        return "", f"{bad!r} is no port 1-65535"
    ports = ",".join(items)
    separators = ports.count(",") + ports.count(":")
    if separators > _MAX_PORT_SEPARATORS:
        return "", "more than 15 ports, where a range counts two"
    if separators and proto == "any":
        return "", "a list or a range needs a protocol"
    return sort_ports(ports), ""


def _number(item: str) -> str:
    """A service name as its number, as ufw stores it (for either protocol); anything else as it is."""
    if not re.match(_SERVICE, item) or item.isdigit():
        return item
    try:
        return str(socket.getservbyname(item))
    except OSError:
        return item


def find_profile(name: str, profiles: dict[str, Profile]) -> Profile:
    """A profile that can be used; ufw ignores the case where that is unambiguous. UnknownProfile where there is none."""
    usable = {known: profile for known, profile in profiles.items() if not profile.problem}
    if name in usable:
        return usable[name]
    if name in profiles:
        raise UnknownProfile("a profile that ufw takes", f"ufw skips this one: {profiles[name].problem}")
    found = [known for known in sorted(usable) if known.lower() == name.lower()]
    if len(found) == 1:
        return usable[found[0]]
    if found:
        raise UnknownProfile("one profile", f"it matches the profiles {', '.join(found)}: write one of them exactly")
    raise UnknownProfile("a profile of /etc/ufw/applications.d", _not_there(name))


def _not_there(name: str) -> str:
    try:
        port = socket.getservbyname(name)
    except (OSError, ValueError):  # a zero byte, or characters that no service has
        port = int(name) if name.isascii() and name.isdigit() and len(name) < 6 else 0
    where = "`ufw app list` shows them"
    return f"for the port write to_port: {port} instead of app; {where}" if port else where
