# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's firewall is made of, read once and written down as it is: files, answers of commands. What it means is
worked out on the controller, by the same code over this text (plugin_utils/firewall), so that the host is not sent it.

    {files: {path: text}, present: {path: bool}, executable: {path: bool}, commands: {command: [status, output, errors]},
     profiles: [[name, [[ports, protocol]], problem]], pending: {...} or None}

A command's status is None where it is missing; the message is in the place of the errors.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import now
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import read_profiles
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import PROFILES, Host, Result
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import SAVE, read_table
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import State, read_state, spell_out, translates
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import CHANGE, PROGRAM

#: The options of ufw_ruleset_info. ``depth`` is how much is read: what the rules are; how the kernel differs from them and
#: what it counted; and what the hand-written files are in the kernel's own words, which takes a network namespace. ``netfilter``: also
#: what decides where packets go (module_utils/netfilter.py), in the same trip.
ARGUMENTS = {
    "findings": {"type": "bool", "default": True},
    "depth": {"type": "str", "choices": ["rules", "kernel", "files"], "default": "kernel"},
    "netfilter": {"type": "bool", "default": False},
}


def command_key(argv: list[str], stdin: str = "") -> str:
    """The name of a command and its input in a snapshot."""
    digest = f" < {hashlib.sha256(stdin.encode('utf-8', 'surrogateescape')).hexdigest()}" if stdin else ""
    return " ".join(argv) + digest


def counters_command(family: int) -> list[str]:
    """What prints the filter table with what its rules counted."""
    return [SAVE[family], "-c", "-t", "filter"]


class Recorder(Host):
    """A host that writes down what is read of it."""

    def __init__(self, host: Host) -> None:
        super().__init__(host.root)
        self._host = host
        self.seen: dict[str, dict[str, Any]] = {"files": {}, "present": {}, "executable": {}, "commands": {}}

    def read(self, name: str) -> str:
        text = self._host.read(name)
        self.seen["files"][name] = text
        return text

    def exists(self, name: str) -> bool:
        return self._noted("present", name, self._host.exists(name))

    def executable(self, name: str) -> bool:
        return self._noted("executable", name, self._host.executable(name))

    def start(self, argv: list[str], stdin: str = "") -> Callable[[], Result]:
        key = command_key(argv, stdin)
        try:
            end = self._host.start(argv, stdin)
        except RulesetError as error:
            self.seen["commands"][key] = [None, "", str(error)]
            raise

        def noted() -> Result:
            done = end()
            self.seen["commands"][key] = [done.status, done.out, done.err]
            return done

        return noted

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        with self._host.lock():
            yield

    def _noted(self, kind: str, name: str, value: bool) -> bool:
        self.seen[kind][name] = value
        return value


def take_snapshot(host: Host, depth: str) -> str:
    """The snapshot of a host, packed. RulesetError as read_state and spell_out."""
    recorder = Recorder(host)
    with recorder.lock():
        state = read_state(recorder)
        if state.active and depth != "rules":
            for family in state.kernel:
                recorder.run(counters_command(family))
                if translates(state.texts):
                    read_table(recorder, family, "nat")
        if state.active and depth == "files":
            spell_out(recorder, state, True)
        pending = waiting(host)
    profiles = read_profiles(host.path(PROFILES)) if _names_a_profile(state) else {}
    return pack({**recorder.seen, "profiles": list(profiles.values()), "pending": pending})


def _names_a_profile(state: State) -> bool:
    return any(rule.app_match for rules in state.rules.values() for rule in rules)


def pack(snapshot: dict[str, Any]) -> str:
    """As text that no one reads on the way: Ansible itself looks through every text that a module returns."""
    return base64.b64encode(zlib.compress(json.dumps(snapshot).encode("ascii"))).decode("ascii")


def waiting(host: Host) -> Optional[dict[str, Any]]:
    """The change that waits for its confirmation: {token, seconds until it is rolled back, keep and back: the commands};
    None without one."""
    if not host.exists(CHANGE):
        return None
    try:
        change = json.loads(host.read(CHANGE))
        token, seconds = str(change["token"]), max(0, round(float(change["deadline"]) - now()))
    except (KeyError, TypeError, ValueError) as error:
        raise RulesetError(
            f"{CHANGE} is not understood, such as that of another version: {error!r}; when the ruleset is as it should "
            f"be, remove {CHANGE}"
        ) from error
    return {
        "token": token,
        "seconds": seconds,
        **{word: f"python3 {PROGRAM} {word} {token}" for word in ("keep", "back")},
    }
