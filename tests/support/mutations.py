# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A hundred ways in which a host of a converged site (static_netns.py) stops being as declared, one at a time."""

from __future__ import annotations

from typing import NamedTuple

SAVE = {4: "iptables", 6: "ip6tables"}
CHAIN = {4: "ufw", 6: "ufw6"}


class Mutation(NamedTuple):
    """host: which is changed. do, undo: commands in its namespace; the rules are loaded anew after it anyway. cause: what one
    of the findings about that host has to name."""

    name: str
    host: str
    do: tuple[str, ...]
    cause: str
    undo: tuple[str, ...] = ()


def mutations():
    found = [
        *_rules_dropped(),
        *_rules_added(),
        *_flows_stopped(),
        *_policies(),
        *_published(),
        *_routes(),
        *_addresses(),
        *_translations(),
        *_settings(),
        *_order(),
    ]
    assert len({one.name for one in found}) == len(found)
    return found


def _rules_dropped():
    """A rule of the user's chains is gone: by its number there."""
    counts = {"desk1": {4: 1, 6: 1}, "pump1": {4: 3, 6: 3}, "till1": {4: 1, 6: 1}}
    for host, families in counts.items():
        for family, count in families.items():
            for number in range(1, count + 1):
                chain = f"{CHAIN[family]}-user-input"
                yield Mutation(
                    f"drop rule {number} of {chain} on {host}",
                    host,
                    (f"{SAVE[family]} -D {chain} {number}",),
                    f"IPv{family} INPUT",
                )
    for family in (4, 6):
        for number in (1, 2, 4):
            chain = f"{CHAIN[family]}-user-forward"
            yield Mutation(
                f"drop rule {number} of {chain}",
                "router",
                (f"{SAVE[family]} -D {chain} {number}",),
                f"IPv{family} FORWARD",
            )


def _rules_added():
    """A port or a source more, in the user's chains, before them, or behind them."""
    for family in (4, 6):
        for host, port in (("desk1", 3389), ("pump1", 5900), ("pump2", 161), ("till1", 25), ("router", 179)):
            rule = f"-p tcp --dport {port} -j ACCEPT"
            chain = f"{CHAIN[family]}-user-input"
            yield Mutation(
                f"open {port} for all on {host}, IPv{family}",
                host,
                (f"{SAVE[family]} -I {chain} {rule}",),
                f"--dport {port}",
            )
        for host in ("pump2", "till1"):
            command = f"{SAVE[family]} -I INPUT -p udp -j ACCEPT"
            yield Mutation(
                f"accept all of UDP first on {host}, IPv{family}", host, (command,), "-A INPUT -p udp -j ACCEPT"
            )
        command = f"{SAVE[family]} -I FORWARD -p tcp --dport 9000 -j ACCEPT"
        yield Mutation(f"forward 9000 first, IPv{family}", "router", (command,), "--dport 9000")
        command = f"{SAVE[family]} -A {CHAIN[family]}-after-input -p tcp --dport 9000 -j ACCEPT"
        yield Mutation(f"open 9000 in the after chain, IPv{family}", "pump1", (command,), "--dport 9000")
    for match in ("-p tcp --sport 40001", "-p esp", "-p udp --dport 443"):
        rule = f"ip6tables -I INPUT {match} -j ACCEPT"
        yield Mutation(
            f"accept {match} of IPv6 first", "pump2", (rule,), match.partition(" ")[2].partition(" ")[2] or match
        )
    yield Mutation(
        "ssh from anywhere", "pump1", ("iptables -A ufw-user-input -p tcp --dport 22 -j ACCEPT",), "--dport 22"
    )
    yield Mutation(
        "a wider source",
        "pump2",
        ("iptables -A ufw-user-input -s 10.91.0.0/16 -p tcp --dport 3306 -j ACCEPT",),
        "10.91.0.0/16",
    )
    yield Mutation("everything from the till", "pump1", ("iptables -I INPUT -s 10.91.3.11 -j ACCEPT",), "10.91.3.11")
    yield Mutation("by source port", "pump1", ("iptables -I INPUT -p tcp --sport 40000 -j ACCEPT",), "--sport 40000")
    yield Mutation("another protocol", "desk2", ("iptables -I INPUT -p gre -j ACCEPT",), "-p gre")


def _flows_stopped():
    for family in (4, 6):
        for host, port in (("desk2", 22), ("pump1", 3306), ("till1", 443)):
            yield Mutation(
                f"drop {port} on {host}, IPv{family}",
                host,
                (f"{SAVE[family]} -I INPUT -p tcp --dport {port} -j DROP",),
                f"--dport {port} -j DROP",
            )
        net = "10.91.1.0/24" if family == 4 else "fd91:1::/64"
        yield Mutation(
            f"reject the office at the router, IPv{family}",
            "router",
            (f"{SAVE[family]} -I FORWARD -s {net} -j REJECT",),
            "-j REJECT",
        )
        yield Mutation(
            f"drop what leaves the till, IPv{family}",
            "till1",
            (f"{SAVE[family]} -I OUTPUT -p tcp --dport 3306 -j DROP",),
            "--dport 3306",
        )
        yield Mutation(
            f"drop the answers of the pump, IPv{family}",
            "pump2",
            (f"{SAVE[family]} -I OUTPUT -p tcp --sport 80 -j DROP",),
            "--sport 80",
        )


def _policies():
    for family in (4, 6):
        for host in ("desk1", "pump2", "till1"):
            yield Mutation(
                f"policy INPUT of {host}, IPv{family}", host, (f"{SAVE[family]} -P INPUT ACCEPT",), "-P INPUT ACCEPT"
            )
        yield Mutation(
            f"policy FORWARD, IPv{family}", "router", (f"{SAVE[family]} -P FORWARD ACCEPT",), "-P FORWARD ACCEPT"
        )
        flush = (f"{SAVE[family]} -P INPUT ACCEPT", f"{SAVE[family]} -F INPUT")
        yield Mutation(f"no firewall on pump1, IPv{family}", "pump1", flush, "-P INPUT ACCEPT")


def _published():
    target = "192.168.90.2"
    listed = f"iptables -A DOCKER -d {target} ! -i docker0 -o docker0 -p tcp --dport 9000 -j ACCEPT"
    more = f"iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 9000 -j DNAT --to-destination {target}:9000"
    around = f"iptables -I DOCKER-USER -d {target} -p tcp --dport 9000 -j ACCEPT"
    yield Mutation("a port published around the list", "till1", (more, listed, around), "--dport 9000")
    yield Mutation(
        "the list of published ports is not asked", "till1", ("iptables -D FORWARD -j DOCKER-USER",), "FORWARD"
    )
    yield Mutation("the list of published ports is empty", "till1", ("iptables -F bulkhead-docker",), "FORWARD")
    yield Mutation(
        "DOCKER-USER lets all through", "till1", ("iptables -I DOCKER-USER -j ACCEPT",), "-A DOCKER-USER -j ACCEPT"
    )
    entry = (
        "iptables -I bulkhead-docker -p tcp -m conntrack --ctstate DNAT --ctorigdstport 9000 --ctdir ORIGINAL -j RETURN"
    )
    yield Mutation("a port more in the list of published ports", "till1", (more, listed, entry), "--dport 9000")
    yield Mutation("the container's rule is gone", "till1", ("iptables -F DOCKER",), "FORWARD")
    other = ("ip link add br-x type bridge", "ip address add 192.168.91.1/24 dev br-x", "ip link set br-x up")
    wrong = "iptables -t nat -I DOCKER ! -i docker0 -p tcp --dport 8443 -j DNAT --to-destination 192.168.91.2:443"
    opened = "iptables -I FORWARD -d 192.168.91.2 -o br-x -j ACCEPT"
    yield Mutation(
        "a container on another network", "till1", (*other, wrong, opened), "192.168.91.2", ("ip link delete br-x",)
    )


def _routes():
    for family, net, via in ((4, "10.91.2.0/24", "10.91.1.12"), (6, "fd91:2::/64", "fd91:1::12")):
        ip = f"ip -{family} route"
        yield Mutation(
            f"a stray route, IPv{family}", "desk1", (f"{ip} add {net} via {via}",), net, (f"{ip} delete {net}",)
        )
        yield Mutation(
            f"a blackhole, IPv{family}",
            "desk2",
            (f"{ip} add blackhole {net}",),
            f"blackhole route for {net}",
            (f"{ip} delete blackhole {net}",),
        )
    back = "ip route replace default via 10.91.1.1"
    yield Mutation("another way out", "desk2", ("ip route replace default via 10.91.1.11",), "0.0.0.0/0", (back,))
    yield Mutation("no way out", "desk1", ("ip route delete default",), "no route", (back,))
    back = "ip route replace 10.91.3.0/24 dev leg3 src 10.91.3.1"
    yield Mutation("the router's route to the shop is gone", "router", ("ip route delete 10.91.3.0/24",), "", (back,))
    tun = (
        "ip link add tailscale0 type veth peer name ts1",
        "ip link set tailscale0 up",
        "ip route add 10.91.2.0/24 dev tailscale0",
    )
    yield Mutation(
        "a tier by way of tailscale0", "till1", tun, "10.91.2.0/24 on tailscale0", ("ip link delete tailscale0",)
    )
    yield Mutation(
        "a routing rule to another table",
        "till1",
        ("ip route add unreachable default table 77", "ip rule add to 10.91.2.0/24 table 77"),
        "unreachable",
        ("ip rule delete to 10.91.2.0/24 table 77", "ip route flush table 77"),
    )


def _addresses():
    for host, text in (
        ("desk1", "10.91.2.77/24"),
        ("pump1", "10.91.3.77/24"),
        ("till1", "fd91:1::77/64"),
        ("pump2", "10.91.1.1/32"),
    ):
        add, remove = (f"ip address {word} {text} dev eth0" for word in ("add", "delete"))
        yield Mutation(f"the address {text} on {host}", host, (add,), text.partition("/")[0], (remove,))


def _translations():
    nat = "iptables -t nat"
    yield Mutation(
        "a forward on the router",
        "router",
        (f"{nat} -A PREROUTING -i leg9 -p tcp --dport 9000 -j DNAT --to-destination 10.91.3.11:443",),
        "",
    )
    yield Mutation(
        "a flow that is sent to another host",
        "router",
        (f"{nat} -A PREROUTING -s 10.91.1.0/24 -d 10.91.2.11 -p tcp --dport 22 -j DNAT --to-destination 10.91.2.12",),
        "DNAT",
    )
    yield Mutation("a masquerade of the office", "router", (f"{nat} -A POSTROUTING -o leg3 -j MASQUERADE",), "")
    yield Mutation(
        "another port of the host",
        "pump1",
        (f"{nat} -A PREROUTING -p tcp --dport 443 -j REDIRECT --to-ports 22",),
        "--dport 22",
    )
    yield Mutation(
        "a translation by chance",
        "pump2",
        (
            f"{nat} -A PREROUTING -p tcp --dport 80 -m statistic --mode random --probability 0.5 -j REDIRECT --to-ports 9000",
        ),
        "",
    )
    yield Mutation(
        "what leaves a host goes elsewhere",
        "till1",
        (f"{nat} -A OUTPUT -d 10.91.2.12 -p tcp --dport 3306 -j DNAT --to-destination 10.91.2.11",),
        "DNAT",
    )


def _settings():
    yield Mutation(
        "no forwarding",
        "router",
        ("sysctl -qw net.ipv4.ip_forward=0",),
        "does not forward",
        ("sysctl -qw net.ipv4.ip_forward=1",),
    )
    key = "net.ipv6.conf.all.forwarding"
    yield Mutation(
        "no forwarding of IPv6", "router", (f"sysctl -qw {key}=0",), "does not forward", (f"sysctl -qw {key}=1",)
    )


def _order():
    """The internet's rules before the denies that keep the site's own networks from passing as it."""
    for family in (4, 6):
        for chain, host in ((f"{CHAIN[family]}-user-input", "till1"), (f"{CHAIN[family]}-user-forward", "router")):
            for port in (443, 8080):
                yield Mutation(
                    f"{port} before the denies in {chain} on {host}",
                    host,
                    (f"{SAVE[family]} -I {chain} -p tcp --dport {port} -j ACCEPT",),
                    f"--dport {port}",
                )
