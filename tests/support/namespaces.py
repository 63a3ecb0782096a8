# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Network namespaces of a test's own: commands, and what is opened inside of one."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import subprocess
import time

CLONE_NEWNET = 0x40000000


def run(*words, **options):
    """A command's output; where it fails, an AssertionError with what it said and what it was given."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}{options.get('input', '')}"
    return done.stdout


def inside(name, make):
    """What `make` returns, made in a network namespace: sockets stay in the namespace where they were opened."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        assert libc.setns(there, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            return make()
        finally:
            assert libc.setns(home, CLONE_NEWNET) == 0
    finally:
        os.close(there)
        os.close(home)


def connects(asked, patience):
    """{what was asked: whether the connection comes about}, all tried at once. asked: {what: (namespace, source, destination,
    port)}; patience: in seconds."""
    waiting, found = {}, {}
    for one, (name, source, destination, port) in asked.items():
        kind = socket.AF_INET6 if ":" in source else socket.AF_INET
        sock = inside(name, lambda kind=kind: socket.socket(kind))
        sock.setblocking(False)
        sock.bind((source, 0))
        state = sock.connect_ex((destination, port))
        found[one] = False
        if state in (0, errno.EINPROGRESS):
            waiting[sock.fileno()] = (sock, one)
        else:
            sock.close()
    poll = select.poll()
    for number in waiting:
        poll.register(number, select.POLLOUT)
    end = time.monotonic() + patience
    while waiting and time.monotonic() < end:
        for number, _event in poll.poll(100):
            sock, one = waiting.pop(number)
            poll.unregister(number)
            found[one] = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            sock.close()
    for sock, _one in waiting.values():
        sock.close()
    return found
