# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What listener and prober need of sockets."""

from __future__ import annotations

import resource
import socket


def family_of(address: str) -> socket.AddressFamily:
    """The socket family of an address in text form."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def allow_descriptors() -> int:
    """Raise this process' soft limit of open files to the hard one and return it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20
