# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's ways to other hosts, tried over new connections: a router that changes its rules can cut them all.

Each host is asked over a connection of its own, with its own settings (a ProxyJump included), what it sees as its client.
What it says is data: it can make a change be refused, and can allow none. One that takes the connection and never ends
the command has not answered: it is waited for no longer than for any other.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import glob
import ipaddress
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Optional

from ansible.errors import AnsibleError
from ansible.plugins.loader import connection_loader
from ansible.template import Templar

#: Kinds of connections that cross a network.
NETWORKED = frozenset(("ssh", "paramiko", "paramiko_ssh", "libssh"))
#: Connections at once.
WORKERS = 16
#: Seconds for a connection to one host, for its answer as well, and for all of them together.
ONE, HARD, ALL = 10, 20, 60
#: Characters of an answer, a banner before it included.
LONGEST = 1 << 16
#: Prints what sshd tells its client's session: "CLIENT PORT SERVER PORT".
COMMAND = 'echo "way $SSH_CONNECTION"'


class Way(NamedTuple):
    """How a host is reached: its inventory name, and what it sees as the two ends of the connection."""

    host: str
    client: str
    server: str
    port: int

    def to_dict(self) -> dict[str, Any]:
        """As the module's option ``through`` takes it."""
        return dict(self._asdict())


def ways(
    hosts: Iterable[str], task_vars: Mapping[str, Any], context: Any, loader: Any, within: float = ALL
) -> tuple[list[Way], list[str]]:
    """(the ways of the hosts that answer a new connection, the names of those that do not).

    hosts: inventory names; one that is not reached over a network is neither. context: the PlayContext of the task.
    within: seconds for all of them together.
    """
    names = [name for name in hosts if _kind(name, task_vars) in NETWORKED]
    found = _each(names, lambda name: connection_to(name, task_vars, context, loader), min(within, ALL))
    return [found[name] for name in names if name in found], [name for name in names if name not in found]


def _each(names: list[str], connect: Callable[[str], Any], within: float) -> dict[str, Way]:
    """The hosts that answer in time, each asked in a thread of its own, WORKERS at once."""
    found: dict[str, Way] = {}
    waiting, running = collections.deque(names), dict[str, float]()
    done: queue.SimpleQueue[tuple[str, Optional[Way]]] = queue.SimpleQueue()
    before, end = _children(), time.monotonic() + within
    while (waiting or running) and time.monotonic() < end:
        now = time.monotonic()
        running = {name: began for name, began in running.items() if now < began + HARD}
        while waiting and len(running) < WORKERS:
            name = waiting.popleft()
            running[name] = now
            # Ansible loads its plugins in one thread at a time. One that hangs does not hold the end of this process, as a
            # thread of a pool would.
            with contextlib.suppress(AnsibleError):
                threading.Thread(target=_ask, args=(name, connect(name), done.put), daemon=True).start()
                continue
            del running[name]
        with contextlib.suppress(queue.Empty):
            name, way = done.get(timeout=min(0.5, max(0.0, end - now)))
            if running.pop(name, None) is not None and way is not None:
                found[name] = way
    for child in _children() - before:
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGTERM)
    return found


def _children() -> set[int]:
    """The processes that this one has started, such as ssh; where the system does not tell, none."""
    children: set[int] = set()
    for path in glob.glob("/proc/self/task/*/children"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            children.update(map(int, file.read().split()))
    return children


def _kind(name: str, task_vars: Mapping[str, Any]) -> str:
    variables = task_vars["hostvars"].get(name) or {}
    return str(variables.get("ansible_connection") or "ssh").rpartition(".")[2]


def _ask(name: str, connection: Any, tell: Callable[[tuple[str, Optional[Way]]], None]) -> None:
    """Tell the Way to a host, None where it does not answer. Nothing is done before ``exec_command`` connects."""
    way = None
    try:
        status, out, _err = connection.exec_command(COMMAND, in_data=None, sudoable=False)
        connection.close()
        if not status:
            text = (out.decode("utf-8", "replace") if isinstance(out, bytes) else str(out))[:LONGEST]
            words = next((line.split()[1:] for line in text.splitlines() if line.startswith("way ")), [])
            way = _way(name, words)
    except (AnsibleError, OSError):
        pass
    finally:
        tell((name, way))


def connection_to(name: str, task_vars: Mapping[str, Any], context: Any, loader: Any, address: str = "") -> Any:
    """A connection plugin for a host, with that host's settings, that shares no open connection. address: another one than
    the inventory's, over which the same host is reached."""
    variables = dict(task_vars["hostvars"][name])
    if address:
        variables["ansible_host"] = address
    templar = Templar(loader=loader, variables=variables)
    one = copy.copy(context)
    one.remote_addr = templar.template(variables.get("ansible_host") or name)
    one.timeout = ONE
    connection = connection_loader.get(str(variables.get("ansible_connection") or "ssh"), one, None)
    options = connection._resolve_option_variables(variables, templar)  # as ansible-core's own executor sets them
    connection.set_options(task_keys={"timeout": ONE}, var_options=options)
    try:
        # A connection that is open already outlives the rules that would refuse a new one.
        connection.set_option("ssh_args", "-o ControlMaster=no -o ControlPath=none")
    except KeyError:
        connection.reset()
    return connection


def _way(name: str, words: list[str]) -> Way:
    """The Way that SSH_CONNECTION tells; without sshd's word the host is reached, and how is not known."""
    try:
        client, _client_port, server, port = words
        ends = [str(_address(text)) for text in (client, server)]
        number = int(port)
    except ValueError:
        return Way(name, "", "", 0)
    return Way(name, ends[0], ends[1], number) if 0 < number < 65536 else Way(name, "", "", 0)


def _address(text: str) -> Any:
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found
