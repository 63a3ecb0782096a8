# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of flow_probe and flow_listen."""

from __future__ import annotations

PROTO = {"type": "str", "choices": ["tcp", "udp"], "required": True}
PORT = {"type": "int", "required": True}
JOB = {
    "id": {"type": "str", "required": True},
    "proto": PROTO,
    "source": {"type": "str"},
    "dest": {"type": "str", "required": True},
    "port": PORT,
    "host": {"type": "str"},
    "listening": {"type": "bool", "default": False},
    "service": {"type": "bool", "default": False},
    "again": {"type": "bool", "default": False},
    "end": {"type": "str"},
    "end_port": {"type": "int"},
}
ARGUMENTS = {
    "mode": {"type": "str", "choices": ["listen", "probe", "stop"], "required": True},
    "token": {"type": "str", "required": True, "no_log": False},
    "name": {"type": "str"},
    "key": {"type": "str", "no_log": True},
    "addresses": {"type": "list", "elements": "str", "default": ["0.0.0.0/0"]},
    "listen": {"type": "list", "elements": "dict", "default": [], "options": {"proto": PROTO, "port": PORT}},
    "ttl": {"type": "int", "default": 120},
    "jobs": {"type": "list", "elements": "dict", "default": [], "options": JOB},
    "timeout": {"type": "float", "default": 3.2},
    "peers": {"type": "list", "elements": "str", "default": []},
}
#: Those of flow_listen.
LISTEN = {
    **{name: ARGUMENTS[name] for name in ("token", "addresses", "listen", "ttl")},
    "name": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": True},
}
