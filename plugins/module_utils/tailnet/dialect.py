# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each of the two control servers takes: `tailscale` (the hosted one) and `headscale` (0.29).

Headscale's part is what a Headscale 0.29.2 refused and took when it was asked; the hosted one's is its documentation.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.grammar import Endpoint, Kind


class Place(enum.Enum):
    """Where an endpoint stands in a document."""

    SOURCE = "src"
    DESTINATION = "dst"
    SSH_SOURCE = "ssh src"
    SSH_DESTINATION = "ssh dst"
    TEST_SOURCE = "test src"
    TEST_DESTINATION = "test dst"
    SSH_TEST = "sshTests"
    OWNER = "tagOwners"
    APPROVER = "autoApprovers"
    ATTRIBUTE = "nodeAttrs"
    VIA = "via"


@dataclass(frozen=True)
class Allowed:
    """What may stand at a place: kinds of endpoints and, of the autogroups, these; ``expected`` says it in words."""

    kinds: frozenset[Kind]
    autogroups: frozenset[str]
    expected: str


@dataclass(frozen=True)
class Dialect:
    """One server's words. ``open``: sections that are not known here are left to the server, not refused.

    acl, grant, ssh, test, ssh_test: the keys of an entry; in acl and test with their old names, mapped to the present.
    comments: what a key of an acl begins with that is a remark. people: the autogroups that are users.
    lacks: keys of the other server, and what to do here.
    """

    name: str
    sections: tuple[str, ...]
    open: tuple[str, ...]
    acl: Mapping[str, str]
    grant: tuple[str, ...]
    ssh: tuple[str, ...]
    test: Mapping[str, str]
    ssh_test: tuple[str, ...]
    places: Mapping[Place, Allowed]
    people: frozenset[str]
    lacks: Mapping[str, str]
    comments: str = ""
    user_hint: str = ""

    def remedy(self, end: Endpoint, place: Place) -> str:
        """What to do about an endpoint that may not stand there."""
        if self.name == "headscale" and end.kind is Kind.OPAQUE:
            return "Headscale has neither ipsets nor services; name addresses, hosts or tags"
        if self.name == "headscale" and end.kind is Kind.AUTOGROUP and end.text in ROLES:
            return "Headscale has no roles; name a group"
        if place is Place.SSH_DESTINATION:
            return "name tags, autogroup:tagged, or autogroup:self for a user's own devices"
        return "name one of these"


def _autogroups(names: str) -> frozenset[str]:
    return frozenset(f"autogroup:{name}" for name in names.split())


ROLES = _autogroups("admin auditor billing-admin it-admin network-admin owner")

_ENDS = frozenset((Kind.ANY, Kind.USER, Kind.GROUP, Kind.TAG, Kind.AUTOGROUP, Kind.HOST, Kind.NETWORK))
_WHO = frozenset((Kind.USER, Kind.GROUP, Kind.TAG))
_SSH_TO = frozenset((Kind.USER, Kind.TAG, Kind.AUTOGROUP))

_MEMBERS = _autogroups("member tagged")
_HEADSCALE = {
    Place.SOURCE: Allowed(_ENDS, _MEMBERS | _autogroups("danger-all"), "users, groups, tags, hosts, networks or *"),
    Place.DESTINATION: Allowed(
        _ENDS, _MEMBERS | _autogroups("internet self"), "users, groups, tags, hosts, networks or *"
    ),
    Place.SSH_SOURCE: Allowed(_WHO | {Kind.AUTOGROUP}, _MEMBERS, "users, groups, tags or an autogroup"),
    Place.SSH_DESTINATION: Allowed(_SSH_TO, _MEMBERS | _autogroups("self"), "tags, users or an autogroup"),
    Place.TEST_SOURCE: Allowed(_ENDS, _MEMBERS | _autogroups("danger-all"), "a user, group, tag, host or address"),
    Place.TEST_DESTINATION: Allowed(_ENDS, _MEMBERS, "a user, group, tag, host or address"),
    Place.SSH_TEST: Allowed(
        _ENDS - {Kind.ANY}, _MEMBERS | _autogroups("self"), "users, groups, tags, hosts or an autogroup"
    ),
    Place.OWNER: Allowed(_WHO, frozenset(), "users, groups or tags"),
    Place.APPROVER: Allowed(_WHO, frozenset(), "users, groups or tags"),
    Place.ATTRIBUTE: Allowed(_ENDS, _MEMBERS, "users, groups, tags, hosts, networks or *"),
    Place.VIA: Allowed(frozenset((Kind.TAG,)), frozenset(), "tags"),
}
_PEOPLE = ROLES | _autogroups("member members shared")
_ALL = _ENDS | {Kind.OPAQUE}
_TAILSCALE = {
    Place.SOURCE: Allowed(
        _ALL, _PEOPLE | _autogroups("tagged danger-all"), "users, groups, tags, hosts, networks or *"
    ),
    Place.DESTINATION: Allowed(
        _ALL, _PEOPLE | _autogroups("tagged internet self"), "users, groups, tags, hosts, networks or *"
    ),
    Place.SSH_SOURCE: Allowed(
        _WHO | {Kind.AUTOGROUP}, _PEOPLE | _autogroups("tagged"), "users, groups, tags or an autogroup"
    ),
    Place.SSH_DESTINATION: Allowed(_SSH_TO, _PEOPLE | _autogroups("tagged self"), "tags, users or an autogroup"),
    Place.TEST_SOURCE: Allowed(
        _ENDS, _PEOPLE | _autogroups("tagged danger-all"), "a user, group, tag, host or address"
    ),
    Place.TEST_DESTINATION: Allowed(_ALL, _PEOPLE | _autogroups("tagged self"), "a user, group, tag, host or address"),
    Place.SSH_TEST: Allowed(
        _ENDS - {Kind.ANY}, _PEOPLE | _autogroups("tagged self"), "users, groups, tags, hosts or an autogroup"
    ),
    Place.OWNER: Allowed(_WHO | {Kind.AUTOGROUP}, _PEOPLE, "users, groups, tags or an autogroup of people"),
    Place.APPROVER: Allowed(
        _WHO | {Kind.AUTOGROUP}, _PEOPLE | _autogroups("tagged"), "users, groups, tags or an autogroup"
    ),
    Place.ATTRIBUTE: Allowed(_ALL, _PEOPLE | _autogroups("tagged"), "users, groups, tags, hosts, networks or *"),
    Place.VIA: Allowed(frozenset((Kind.TAG,)), frozenset(), "tags"),
}

_SECTIONS = (
    "groups",
    "hosts",
    "tagOwners",
    "acls",
    "grants",
    "nodeAttrs",
    "autoApprovers",
    "ssh",
    "tests",
    "sshTests",
    "randomizeClientPort",
)
_ACL = {"action": "action", "proto": "proto", "src": "src", "dst": "dst"}
_GRANT = ("src", "dst", "ip", "app", "via")
_SSH = ("action", "src", "dst", "users", "checkPeriod", "acceptEnv")
_TEST = {"src": "src", "proto": "proto", "accept": "accept", "deny": "deny"}
_SSH_TEST = ("src", "dst", "accept", "deny", "check")

_LACKS = {
    "postures": "Headscale has no postures; drop the section",
    "srcPosture": "Headscale has no postures; drop the condition",
    "defaultSrcPosture": "Headscale has no postures; drop the section",
    "srcPostureAttrs": "Headscale has no postures; drop the condition",
    "ipsets": "Headscale has no ipsets; name the networks in hosts",
    "derpMap": "Headscale takes relays from its configuration; drop the section",
    "disableIPv4": "Headscale takes address families from its configuration; drop the key",
    "OneCGNATRoute": "Headscale has no such setting; drop the key",
    "recorder": "Headscale records no sessions; drop the key",
    "enforceRecorder": "Headscale records no sessions; drop the key",
}

DIALECTS = {
    "headscale": Dialect(
        name="headscale",
        sections=_SECTIONS,
        open=(),
        acl=_ACL,
        grant=_GRANT,
        ssh=_SSH,
        test=_TEST,
        ssh_test=_SSH_TEST,
        places=_HEADSCALE,
        people=_autogroups("member"),
        lacks=_LACKS,
        comments="#",
        user_hint="; Headscale takes a user without a domain as alice@",
    ),
    "tailscale": Dialect(
        name="tailscale",
        sections=(*_SECTIONS, "postures", "ipsets", "defaultSrcPosture", "derpMap", "disableIPv4", "OneCGNATRoute"),
        open=("what is new there",),
        acl={**_ACL, "users": "src", "ports": "dst", "srcPosture": "srcPosture"},
        grant=(*_GRANT, "srcPosture"),
        ssh=(*_SSH, "srcPosture", "recorder", "enforceRecorder"),
        test={**_TEST, "user": "src", "allow": "accept", "srcPostureAttrs": "srcPostureAttrs"},
        ssh_test=(*_SSH_TEST, "srcPostureAttrs"),
        places=_TAILSCALE,
        people=_PEOPLE,
        lacks={},
    ),
}
