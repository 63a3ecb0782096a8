# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands on a control server, read as a document."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet import hujson
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.control import Control, Live
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.document import Document, read
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.evaluate import Policy


def inform(control: Control, dialect: str) -> dict[str, Any]:
    """What stands on the server, and what is to be said about it."""
    live = control.read()
    plain, document, trouble = understood(live, dialect)
    return {
        "changed": False,
        "etag": live.etag,
        "text": live.text,
        "policy": plain,
        "allows_all": document.allows_all if document is not None else None,
        "mistakes": trouble,
        "failures": _failures(document),
        "requests": control.server.sent,
    }


def _failures(document: Optional[Document]) -> list[str]:
    policy = None if document is None else Policy(document)
    return [str(failure) for failure in policy.failures()] if policy is not None and policy.decidable else []


def understood(live: Live, dialect: str) -> tuple[Any, Optional[Document], list[str]]:
    """The live policy as plain value and as document; None for what cannot be read, and why."""
    if not live.text.strip():
        return {}, read({}, dialect, allow_all=True), []
    try:
        plain = hujson.parse(live.text, "the server's policy").plain()
    except Refused as refused:
        return None, None, refused.errors
    try:
        return plain, read(plain, dialect, allow_all=True, root="the server's policy"), []
    except Refused as refused:
        return plain, None, refused.errors
