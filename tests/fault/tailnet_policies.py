# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Random sites, their policies loaded into a real Headscale: it refuses what it does not understand, and
a policy of whose own tests any fails. Then each policy with one more grant, and one with one grant less, which it must refuse.

    .venv/bin/python tests/fault/tailnet_policies.py [NUMBER [FIRST]]

PYTHONPATH is .venv/collections. Exit status 0 when all hold; otherwise the seeds of the sites that do not.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable
from typing import Any

from headscale_alone import Headscale, Refused
from tailnet_site import by_chance

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.tailnet import policy_document
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import known_identities

USERS = ("alice@example.com", "bob@example.com", "carol@example.com", "dave@example.com")


class Control:
    """A Headscale with a node for everyone whom a site tells apart."""

    def __init__(self, server: Headscale) -> None:
        self._server = server
        self._nodes: dict[int, list[str]] = {}
        for user in USERS:
            server.user(user)
            server.node(user.partition("@")[0], user)

    def load(self, site: Any) -> int:
        """Load a site's policy; the number of its tests. Refused where the server does not take it."""
        self._server.put(policy_document(site, present=[]))
        wanted = [sorted(one.tags) for one in known_identities(site.tailnet) if one.tags]
        for number in range(len(self._nodes), len(wanted)):
            self._nodes[self._server.node(f"node{number}", USERS[0])] = []
        for place, (number, tags) in enumerate(list(self._nodes.items())):
            mine = wanted[place % len(wanted)]
            if tags != mine:
                self._server.tag(number, mine)
                self._nodes[number] = mine
        document = policy_document(site)
        self._server.put(document)
        return sum(len(test.get(key, ())) for test in document.get("tests", ()) for key in ("accept", "deny"))

    def refuses(self, document: dict[str, Any]) -> bool:
        """Whether the server finds a test of a policy failing."""
        try:
            self._server.put(document)
        except Refused as error:
            return "test(s) failed" in str(error)
        return False


def opened(document: dict[str, Any]) -> dict[str, Any] | None:
    """The same with a grant for one pair that a test denies; None where none does."""
    for test in document.get("tests", ()):
        for end in test.get("deny", ()):
            name, _colon, port = end.rpartition(":")
            more = {"src": [test["src"]], "dst": [name.strip("[]")], "ip": [f"{test['proto']}:{port}"]}
            return {**document, "grants": [*document["grants"], more]}
    return None


def closed(document: dict[str, Any]) -> dict[str, Any] | None:
    """The same without any grant; None where no test accepts anything."""
    if not any("accept" in test for test in document.get("tests", ())):
        return None
    return {**copy.deepcopy(document), "grants": []}


def run(seeds: Iterable[int]) -> list[str]:
    """What went wrong, a line each."""
    wrong = []
    with Headscale() as server:
        control = Control(server)
        for seed in seeds:
            site = by_chance(seed)
            try:
                count = control.load(site)
            except Refused as error:
                wrong.append(f"site {seed}: {error}")
                continue
            document = policy_document(site)
            for name, broken in (("one grant more", opened(document)), ("no grant", closed(document))):
                if broken and not control.refuses(broken):
                    wrong.append(f"site {seed}: taken with {name}")
            print(f"site {seed}: {count} assertions hold", flush=True)
    return wrong


def main() -> int:
    number, first = (int(word) for word in [*sys.argv[1:], *["50", "0"][len(sys.argv) - 1 :]])
    wrong = run(range(first, first + number))
    print("\n".join(wrong) or f"{number} sites: Headscale takes their policies, and their tests hold")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
