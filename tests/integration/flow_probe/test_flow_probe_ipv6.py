"""The prober and the listener over IPv6, in the network of probe_network. What is common to both families is in
test_flow_probe.py."""

from __future__ import annotations

from probe_network import A6, B6, C6, PORTS, RANGES, B, heard, run

BOTH = RANGES[4] + RANGES[6]
ROUTER = "fd00:201:1::1"


def test_a_host_of_both_families_is_served_and_probed_in_both(prober):
    said = prober.listen("b", ranges=BOTH)
    assert {address["address"] for address in said["addresses"]} == {B, B6}
    assert said["bound"] == 4 * len(PORTS) and said["unusable"] == [] and said["services"] == []
    jobs = [(proto, dest, port) for proto in ("tcp", "udp") for dest in (B, B6) for port in PORTS]
    assert prober.verdicts("a", *jobs, again=True) == ["ALLOWED"] * len(jobs)


def test_a_drop_and_every_kind_of_reject_are_told_apart(prober, rules):
    kinds = {
        "tcp-reset": None,
        "icmp6-port-unreachable": (1, 4),
        "icmp6-adm-prohibited": (1, 1),
        "icmp6-policy-fail": (1, 5),
        "icmp6-reject-route": (1, 6),
    }
    for port, kind in zip(PORTS, kinds):
        for proto in ("tcp", "udp") if kind != "tcp-reset" else ("tcp",):
            rules("b", f"-A INPUT -p {proto} --dport {port} -j REJECT --reject-with {kind}", "ip6tables")
    rules("b", "-A INPUT -p tcp --dport 1006 -j DROP", "ip6tables")
    rules("b", "-A INPUT -p udp --dport 1006 -j DROP", "ip6tables")
    prober.listen("b", ranges=BOTH)
    # A rejection by ICMPv6 reaches a connecting socket after a second: a shorter timeout would read it as a drop.
    results = prober.probe(
        "a", *[("tcp", B6, port) for port in PORTS[:7]], *[("udp", B6, port) for port in PORTS[1:7]], timeout=3.2
    )
    verdicts = [result["verdict"] for result in results]
    assert verdicts == ["REJECTED"] * 5 + ["ALLOWED", "DROPPED"] + ["REJECTED"] * 4 + ["ALLOWED", "DROPPED"]
    said = [(result["icmp"]["type"], result["icmp"]["code"], result["icmp"]["from"]) for result in results[7:11]]
    assert said == [(*kind, B6) for kind in kinds.values() if kind]
    # The same rules say nothing of IPv4.
    assert prober.verdicts("a", *[("tcp", B, port) for port in PORTS[:7]], again=True) == ["ALLOWED"] * 7


def test_a_missing_way_is_no_route_and_a_closed_port_no_listener(prober):
    prober.listen("b", ranges=BOTH, ports=[1000])
    run("ip -n fp-r route add unreachable fd00:201:9::/64")
    try:
        dests = ["fd00:201:9::9", "fd00:201:7::7"]
        results = prober.probe("a", *[("udp", dest, 1000) for dest in dests], timeout=3.2)
    finally:
        run("ip -n fp-r route delete unreachable fd00:201:9::/64")
    assert [(result["verdict"], result["icmp"]["from"]) for result in results] == [("NO_ROUTE", ROUTER)] * 2
    closed = {"listening": False}
    assert prober.verdicts("a", ("tcp", B6, 1001, closed), ("udp", B6, 1001, closed)) == ["NO_LISTENER"] * 2


def test_where_a_packet_ended_is_heard_on_the_way(prober, rules):
    for name in "abr":
        prober.listen(name, ports=[1000, 1001, 1002, 1003], ranges=BOTH)
    for proto in ("tcp", "udp"):
        rules("a", f"-A OUTPUT -p {proto} --dport 1000 -d {B6} -j DROP", "ip6tables")
        rules("r", f"-A FORWARD -p {proto} --dport 1001 -j DROP", "ip6tables")
        rules("b", f"-A INPUT -p {proto} --dport 1002 -s {A6} -j DROP", "ip6tables")
        rules("r", f"-A FORWARD -p {proto} --sport 1003 -j DROP", "ip6tables")  # one way: the answer is lost
    for proto in ("tcp", "udp"):
        jobs = [(proto, B6, port) for port in range(1000, 1004)]
        assert [verdict for verdict in prober.verdicts("a", *jobs) if verdict not in ("DROPPED", "REJECTED")] == []
    at = {name: prober.stop(name) for name in "abr"}
    for proto in ("tcp", "udp"):
        key = A6, B6, proto
        assert heard(at["a"]["left"])[key] == [1001, 1002, 1003]
        assert heard(at["r"]["arrived"])[key] == [1001, 1002, 1003]
        assert heard(at["r"]["left"])[key] == [1002, 1003]
        assert heard(at["b"]["arrived"])[key] == [1002, 1003]
        assert heard(at["b"]["passed"])[key] == [1003]


def test_a_port_of_the_kernel_is_judged_too(prober, rules):
    """Its datagrams are heard, and answered from the address that was asked, by a raw socket."""
    run(f"ip -n fp-b link add fp-vx type vxlan id 42 dstport 4789 local {B6} dev eth0 && ip -n fp-b link set fp-vx up")
    try:
        said = prober.listen("b", ranges=RANGES[6])
        assert [(found["proto"], found["port"]) for found in said["services"]] == [("udp", 4789)]
        assert prober.verdicts("a", ("udp", B6, 4789, {"service": True}), again=True) == ["ALLOWED"]
        rules("b", "-A INPUT -p udp --dport 4789 ! -i lo -j DROP", "ip6tables")
        assert prober.verdicts("a", ("udp", B6, 4789, {"service": True})) == ["DROPPED"]
    finally:
        run("ip -n fp-b link delete fp-vx")


def test_an_answer_from_the_wrong_host_is_misdirected(prober, rules):
    prober.listen("b", ranges=BOTH)
    prober.listen("c", ranges=BOTH)
    for proto in ("tcp", "udp"):
        rules("r", f"-t nat -A PREROUTING -p {proto} -d {B6} --dport 1000 -j DNAT --to {C6}", "ip6tables")
    results = prober.probe("a", *[(proto, B6, port) for port in (1000, 1003) for proto in ("tcp", "udp")])
    assert [result["verdict"] for result in results] == ["MISDIRECTED"] * 2 + ["ALLOWED"] * 2
    assert [result["by"] for result in results[:2]] == ["c", "c"]


def test_a_filter_that_stops_neighbour_discovery_ends_a_probe_as_no_route(prober, rules):
    """No packet of the probe itself leaves the router then."""
    prober.listen("b", ports=[1000], ranges=BOTH)
    prober.listen("r", ports=[1000], ranges=BOTH)
    run("ip -n fp-r -6 neigh flush dev fp-r-b")
    rules("b", "-A INPUT -p icmpv6 -j DROP", "ip6tables")
    rules("b", "-A OUTPUT -p icmpv6 -j DROP", "ip6tables")
    try:
        assert prober.verdicts("a", ("udp", B6, 1000), timeout=4.5) == ["NO_ROUTE"]
    finally:
        run("ip -n fp-r -6 neigh flush dev fp-r-b")
    assert (A6, B6, "udp") in heard(prober.stop("r")["arrived"])
