# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's ways to other hosts, tried over new connections: a router that changes its rules can cut them all.

Each host is asked over a connection of its own, with its own settings (a ProxyJump included), what it sees as its client.
What it says is data: it can make a change be refused, and can allow none.
"""

from __future__ import annotations

import copy
import ipaddress
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ansible.errors import AnsibleError
from ansible.plugins.loader import connection_loader
from ansible.template import Templar

#: Kinds of connections that cross a network.
NETWORKED = frozenset(("ssh", "paramiko", "paramiko_ssh", "libssh"))
#: Connections at once.
WORKERS = 16
#: Seconds for one host, and for all of them together.
ONE, ALL = 10, 60
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


def ways(hosts: Iterable[str], task_vars: Mapping[str, Any], context: Any, loader: Any) -> tuple[list[Way], list[str]]:
    """(the ways of the hosts that answer a new connection, the names of those that do not).

    hosts: inventory names; one that is not reached over a network is neither. context: the PlayContext of the task.
    """
    names = [name for name in hosts if _kind(name, task_vars) in NETWORKED]
    found: dict[str, Way] = {}
    end = time.monotonic() + ALL
    with ThreadPoolExecutor(min(WORKERS, len(names) or 1)) as pool:
        asked = [(name, pool.submit(_ask, name, task_vars, context, loader, end)) for name in names]
        for name, answer in asked:
            way = answer.result()
            if way is not None:
                found[name] = way
    return list(found.values()), [name for name in names if name not in found]


def _kind(name: str, task_vars: Mapping[str, Any]) -> str:
    variables = task_vars["hostvars"].get(name) or {}
    return str(variables.get("ansible_connection") or "ssh").rpartition(".")[2]


def _ask(name: str, task_vars: Mapping[str, Any], context: Any, loader: Any, end: float) -> Any:
    """The Way to a host, None where it does not answer in time."""
    if time.monotonic() > end:
        return None
    try:
        connection = _connection(name, task_vars, context, loader)
        status, out, _err = connection.exec_command(COMMAND, in_data=None, sudoable=False)
        connection.close()
    except (AnsibleError, OSError):
        return None
    text = out.decode("utf-8", "replace") if isinstance(out, bytes) else str(out)
    words = next((line.split()[1:] for line in text.splitlines() if line.startswith("way ")), [])
    return _way(name, words) if not status else None


def _connection(name: str, task_vars: Mapping[str, Any], context: Any, loader: Any) -> Any:
    """A connection plugin for another host, with that host's settings, that shares no open connection."""
    variables = dict(task_vars["hostvars"][name])
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
        return Way(name, ends[0], ends[1], int(port))
    except ValueError:
        return Way(name, "", "", 0)


def _address(text: str) -> Any:
    found = ipaddress.ip_address(text.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found
