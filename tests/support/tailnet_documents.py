# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A whole tailnet policy, and mistakes in it: for what reads policies, and for the real server that refuses them."""

from __future__ import annotations

WHOLE = {
    "groups": {"group:admins": ["alice@example.com", "bob@example.com"]},
    "tagOwners": {"tag:web": ["group:admins"], "tag:db": ["tag:web", "carol@example.com"], "tag:gw": []},
    "hosts": {"portal": "10.0.3.4", "lan": "10.0.3.0/24"},
    "acls": [
        {
            "action": "accept",
            "proto": "tcp",
            "src": ["group:admins"],
            "dst": ["tag:web:22,80-90", "lan:*", "[fd7a::1]:22"],
        }
    ],
    "grants": [
        {"src": ["tag:web"], "dst": ["tag:db"], "ip": ["tcp:5432"]},
        {"src": ["group:admins"], "dst": ["autogroup:internet"], "ip": ["*"], "via": ["tag:gw"]},
        {"src": ["autogroup:member"], "dst": ["autogroup:self"], "ip": ["*"]},
    ],
    "autoApprovers": {"routes": {"10.0.3.0/24": ["tag:gw"]}, "exitNode": ["tag:gw"]},
    "ssh": [{"action": "check", "src": ["group:admins"], "dst": ["tag:web"], "users": ["ops"], "checkPeriod": "12h"}],
    "tests": [{"src": "tag:web", "accept": ["tag:db:5432"], "deny": ["portal:22"]}],
    "sshTests": [{"src": "alice@example.com", "dst": ["tag:web"], "check": ["ops"], "deny": ["root"]}],
    "nodeAttrs": [{"target": ["tag:web"], "attr": ["drive:share"]}],
}


# One change of the whole document each, its path, its kind.
WRONG = [
    ({"acls": [{"action": "accept", "src": ["group:ops"], "dst": ["*:*"]}]}, "policy.acls[0].src[0]", "undefined"),
    ({"acls": [{"action": "accept", "src": ["*"], "dst": ["tag:none:22"]}]}, "policy.acls[0].dst[0]", "owner"),
    ({"acls": [{"action": "accept", "src": ["printer"], "dst": ["*:*"]}]}, "policy.acls[0].src[0]", "undefined"),
    ({"acls": [{"action": "drop", "src": ["*"], "dst": ["*:*"]}]}, "policy.acls[0].action", "syntax"),
    ({"acls": [{"action": "accept", "src": ["*"], "dst": ["tag:web"]}]}, "policy.acls[0].dst[0]", "port"),
    ({"acls": [{"action": "accept", "src": ["*"], "dst": ["tag:web:0"]}]}, "policy.acls[0].dst[0]", "port"),
    ({"acls": [{"action": "accept", "src": ["*"], "dst": ["tag:web:90-80"]}]}, "policy.acls[0].dst[0]", "port"),
    ({"acls": [{"action": "accept", "src": ["*"], "dst": ["tag:web:65536"]}]}, "policy.acls[0].dst[0]", "port"),
    ({"acls": [{"action": "accept", "proto": "icmp", "src": ["*"], "dst": ["*:22"]}]}, "policy.acls[0].dst[0]", "port"),
    (
        {"acls": [{"action": "accept", "proto": "tcpp", "src": ["*"], "dst": ["*:22"]}]},
        "policy.acls[0].proto",
        "protocol",
    ),
    (
        {"acls": [{"action": "accept", "proto": "256", "src": ["*"], "dst": ["*:*"]}]},
        "policy.acls[0].proto",
        "protocol",
    ),
    ({"grants": [{"src": ["*"], "dst": ["*"], "ip": ["06:*"]}]}, "policy.grants[0].ip[0]", "protocol"),
    (
        {"acls": [{"action": "accept", "src": ["autogroup:internet"], "dst": ["*:*"]}]},
        "policy.acls[0].src[0]",
        "unsupported",
    ),
    (
        {"acls": [{"action": "accept", "src": ["tag:web"], "dst": ["autogroup:self:*"]}]},
        "policy.acls[0].src[0]",
        "syntax",
    ),
    ({"grants": [{"src": ["*"], "dst": ["autogroup:self"], "ip": ["*"]}]}, "policy.grants[0].src[0]", "syntax"),
    ({"grants": [{"src": ["*"], "dst": ["tag:web"]}]}, "policy.grants[0]", "syntax"),
    ({"grants": [{"src": ["*"], "dst": ["tag:web"], "ip": ["tcp:x"]}]}, "policy.grants[0].ip[0]", "port"),
    ({"grants": [{"src": ["*"], "dst": ["tag:web"], "ip": ["foo:1"]}]}, "policy.grants[0].ip[0]", "protocol"),
    ({"grants": [{"src": ["*"], "dst": ["0.0.0.0/0"], "ip": ["*"]}]}, "policy.grants[0].dst[0]", "syntax"),
    (
        {"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"], "via": ["group:admins"]}]},
        "policy.grants[0].via[0]",
        "place",
    ),
    ({"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"], "via": ["tag:none"]}]}, "policy.grants[0].via[0]", "owner"),
    ({"grants": "all"}, "policy.grants", "syntax"),
    ({"grants": [{"src": "*", "dst": ["*"], "ip": ["*"]}]}, "policy.grants[0].src", "syntax"),
    ({"tagOwners": {"web": ["group:admins"]}, "grants": []}, "policy.tagOwners.web", "syntax"),
    ({"groups": {"group:admins": ["group:ops"]}}, "policy.groups.group:admins[0]", "syntax"),
    ({"groups": {"group:admins": ["alice"]}}, "policy.groups.group:admins[0]", "syntax"),
    ({"groups": {"admins": []}}, "policy.groups.admins", "syntax"),
    ({"hosts": {"portal": "10.0.3"}}, "policy.hosts.portal", "syntax"),
    ({"hosts": {"portal": "10.0.3.4/255.255.255.0"}}, "policy.hosts.portal", "syntax"),
    ({"autoApprovers": {"routes": {"lan": ["tag:gw"]}}}, "policy.autoApprovers.routes.lan", "syntax"),
    ({"autoApprovers": {"exitNode": ["tag:none"]}}, "policy.autoApprovers.exitNode[0]", "owner"),
    ({"autoApprovers": {"exit": []}}, "policy.autoApprovers.exit", "unknown"),
    (
        {"ssh": [{"action": "accept", "src": ["*"], "dst": ["tag:web"], "users": ["ops"]}]},
        "policy.ssh[0].src[0]",
        "place",
    ),
    (
        {"ssh": [{"action": "accept", "src": ["group:admins"], "dst": ["portal"], "users": ["ops"]}]},
        "policy.ssh[0].dst[0]",
        "place",
    ),
    (
        {"ssh": [{"action": "accept", "src": ["group:admins"], "dst": ["tag:web"], "users": ["*"]}]},
        "policy.ssh[0].users[0]",
        "syntax",
    ),
    (
        {"ssh": [{"action": "deny", "src": ["group:admins"], "dst": ["tag:web"], "users": ["ops"]}]},
        "policy.ssh[0].action",
        "syntax",
    ),
    (
        {"ssh": [{"action": "accept", "src": ["tag:web"], "dst": ["autogroup:self"], "users": ["ops"]}]},
        "policy.ssh[0].dst[0]",
        "syntax",
    ),
    ({"tests": [{"src": "tag:web"}]}, "policy.tests[0]", "test"),
    ({"tests": [{"src": "tag:web", "accept": ["tag:db:1-2"]}]}, "policy.tests[0].accept[0]", "test"),
    ({"tests": [{"src": "tag:web", "accept": ["lan:22"]}]}, "policy.tests[0].accept[0]", "test"),
    ({"tests": [{"src": "tag:web", "deny": ["10.0.0.0/8:22"]}]}, "policy.tests[0].deny[0]", "test"),
    ({"tests": [{"src": "tag:web", "proto": "icmp", "deny": ["tag:db:22"]}]}, "policy.tests[0].proto", "test"),
    ({"tests": [{"src": "tag:none", "deny": ["tag:db:22"]}]}, "policy.tests[0].src", "owner"),
    ({"sshTests": [{"src": "alice@example.com", "dst": ["tag:web"]}]}, "policy.sshTests[0]", "test"),
    ({"Groups": {}}, "policy.Groups", "duplicate"),
]
