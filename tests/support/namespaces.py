# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Network namespaces of a test's own: commands, and what is opened inside of one."""

from __future__ import annotations

import ctypes
import os
import subprocess

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
