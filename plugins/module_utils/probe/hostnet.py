# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host knows about its own network: addresses and bound ports. Linux only."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Address

RTM_GETADDR, RTM_NEWADDR, NLMSG_ERROR, NLMSG_DONE = 22, 20, 2, 3
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
IFA_ADDRESS, IFA_LOCAL = 1, 2
TCP_LISTEN, UDP_UNCONNECTED = "0A", "07"


def own_addresses() -> list[Address]:
    """Every address of this host but the link-local and the 127.0.0.0/8 ones.

    They are asked from the kernel over rtnetlink(7): iproute2 may be missing. Further addresses on the loopback device
    are included; `bridge` tells the engine's bridges from the legs of a router.
    """
    found = []
    for index, family, prefix, raw in _dump_addresses():
        address = socket.inet_ntop(family, raw)
        if address == "::1" or address.startswith(("127.", "fe80:")):
            continue
        name = socket.if_indextoname(index)
        found.append(Address(address, prefix, name, os.path.isdir(f"/sys/class/net/{name}/bridge")))
    return found


def _dump_addresses() -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (interface index, family, prefix length, packed address) of every address in this network namespace."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        netlink.send(struct.pack("=LHHLL", 24, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + bytes(8))
        while True:
            answer = netlink.recv(1 << 16)
            while answer:
                length, kind = struct.unpack_from("=LH", answer)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError(
                        -struct.unpack_from("=l", answer, 16)[0], "the kernel did not list this host's addresses"
                    )
                if kind == RTM_NEWADDR:
                    family, prefix, _dummy, _dummy, index = struct.unpack_from("=BBBBL", answer, 16)
                    yield index, family, prefix, _local_address(answer[24:length])
                answer = answer[(length + 3) & ~3 :]


def _local_address(attributes: bytes) -> bytes:
    """The packed address in the attributes of one RTM_NEWADDR: on a point-to-point link IFA_ADDRESS is the *other*
    end."""
    found = {}
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("=HH", attributes)
        found[kind] = attributes[4:length]
        attributes = attributes[(length + 3) & ~3 :]
    return found.get(IFA_LOCAL) or found[IFA_ADDRESS]


def bound_ports() -> dict[tuple[str, str, int], str]:
    """Ports that some process (or the kernel) has bound: {(proto, address, port): process name or ""}.

    Source: /proc/net/{tcp,udp}{,6}, see proc_net_tcp.txt of the kernel. A connected UDP socket is a client's, not a
    service's.
    """
    sockets = {}
    for proto, state in (("tcp", TCP_LISTEN), ("udp", UDP_UNCONNECTED)):
        for suffix in ("", "6"):
            for address, port, inode in _table("/proc/net/" + proto + suffix, state):
                sockets[proto, address, port] = inode
    names = _processes(set(sockets.values()))
    return {key: names.get(inode, "") for key, inode in sockets.items()}


def _table(path: str, state: str) -> Iterator[tuple[str, int, str]]:
    """Yield (address, port, inode) of the sockets in one table that are in this state."""
    try:
        with open(path) as table:
            lines = table.readlines()[1:]
    except OSError:  # no IPv6 in this kernel
        return
    for line in lines:
        fields = line.split()
        if fields[3] == state:
            address, port = fields[1].split(":")
            yield _address(address), int(port, 16), fields[9]


def _address(text: str) -> str:
    """'0100007F' -> '127.0.0.1': the tables print 32-bit words in the machine's byte order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}L", *words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _processes(inodes: set[str]) -> dict[str, str]:
    """{inode: process name} for those of these sockets that a process holds; the kernel's own have none."""
    names = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        mine = inodes.intersection(_sockets_of(pid))
        if mine:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/comm", errors="replace") as comm:
                names.update(dict.fromkeys(mine, comm.read().strip()))
    return names


def _sockets_of(pid: str) -> set[str]:
    """The inodes of a process' sockets. It may end, or close a file, at any moment; or it is not ours to see."""
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                link = os.readlink(f"/proc/{pid}/fd/{descriptor}")
                if link.startswith("socket:["):
                    found.add(link[8:-1])
    return found
