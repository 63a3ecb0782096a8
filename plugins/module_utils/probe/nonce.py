# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a listener reads and answers. What a prober asks, and how it reads the answer, is in flows.py."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Optional

# The first four bytes. They differ, or else two listeners that hear raw packets would answer each other's answers for
# ever.
ASKS, ANSWERS = b"bhq ", b"bha "
LONGEST = 1024  # bytes of a question or an answer

#: Hexadecimal digits of the code that a listener adds to an answer (128 bits of HMAC-SHA256).
MAC_DIGITS = 32


def read_question(token: str, data: bytes) -> Optional[str]:
    """The probe's id, or None if these bytes are not a question of this run."""
    start = ASKS + token.encode() + b" "
    return data[len(start) :].split(b"\n", 1)[0].decode("ascii", "replace") if data.startswith(start) else None


def answer(token: str, key: bytes, proto: str, job_id: str, name: str, peer: str, at: str, port: int) -> bytes:
    """What the listener `name` says to a question that came from the address `peer` to its own address and port."""
    said = {"id": job_id, "name": name, "peer": peer, "at": at, "port": port}
    said["mac"] = code_of(key, token, proto, job_id, name, peer, at, port)
    return ANSWERS + token.encode() + b" " + json.dumps(said).encode() + b"\n"


def code_of(key: bytes, token: str, proto: str, job_id: str, name: str, peer: str, at: str, port: int) -> str:
    """The code that proves that the listener with this key heard this question from peer at its own address and port."""
    said = "\n".join((token, proto, job_id, name, peer, at, str(port)))
    return hmac.new(key, said.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:MAC_DIGITS]
