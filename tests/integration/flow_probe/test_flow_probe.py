"""The prober and the listener against the real kernel: network namespaces, veth pairs, iptables. Needs root; leaves
nothing.

fp-a 10.201.1.10 --- fp-r --- fp-b 10.201.2.10
                       |
                       +----- fp-c 10.201.3.10
"""

from __future__ import annotations

import subprocess
import time

from probe_network import PORTS, A, B, C, heard, run

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Socket

TCP_SERVICE = """
import socket
server = socket.create_server(("0.0.0.0", 2222))
print("ready", flush=True)
while True:
    connection = server.accept()[0]
    connection.settimeout(0.3)
    try:
        got = connection.recv(100)
    except OSError:
        got = b""
    if got:
        print("was sent", got, flush=True)
"""
UDP_SERVICE = """
import socket, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 2222))
print("ready", flush=True)
time.sleep(60)
"""
IPV6_SERVICE = """
import socket, time
server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
server.bind(("::", 9100))
server.listen()
print("ready", flush=True)
time.sleep(60)
"""


def test_an_open_network_answers_every_nonce(prober):
    said = prober.listen("b")
    assert [address["address"] for address in said["addresses"]] == [B]
    assert said["bound"] == 2 * len(PORTS) and said["unusable"] == [] and said["services"] == []
    assert said["hears"] == {"passed": True, "wire": True}
    jobs = [(proto, B, port) for proto in ("tcp", "udp") for port in PORTS]
    assert prober.verdicts("a", *jobs, again=True) == ["ALLOWED"] * len(jobs)


def test_a_drop_and_every_kind_of_reject_are_told_apart(prober, rules):
    kinds = [
        "tcp-reset",
        "icmp-port-unreachable",
        "icmp-admin-prohibited",
        "icmp-host-prohibited",
        "icmp-net-prohibited",
    ]
    for port, kind in zip(PORTS, kinds):
        rules("b", f"-A INPUT -p tcp --dport {port} -j REJECT --reject-with {kind}")
        if kind != "tcp-reset":
            rules("b", f"-A INPUT -p udp --dport {port} -j REJECT --reject-with {kind}")
    rules("b", "-A INPUT -p tcp --dport 1006 -j DROP")
    rules("b", "-A INPUT -p udp --dport 1006 -j DROP")
    prober.listen("b")
    results = prober.probe("a", *[("tcp", B, port) for port in PORTS[:7]], *[("udp", B, port) for port in PORTS[1:7]])
    verdicts = [result["verdict"] for result in results]
    assert verdicts == ["REJECTED"] * 5 + ["ALLOWED", "DROPPED"] + ["REJECTED"] * 4 + ["ALLOWED", "DROPPED"]
    assert "icmp" not in results[0]
    assert [result["icmp"] for result in results[7:11]] == [
        {"type": 3, "code": code, "from": B} for code in (3, 13, 10, 9)
    ]
    assert [result["icmp"]["code"] for result in results[1:5]] == [3, 13, 10, 9]


def test_a_router_that_rejects_is_named(prober, rules):
    rules("r", "-A FORWARD -p udp --dport 1000 -j REJECT")
    rules("r", "-A FORWARD -p tcp --dport 1000 -j REJECT")
    prober.listen("b")
    for result in prober.probe("a", ("udp", B, 1000), ("tcp", B, 1000)):
        assert result["verdict"] == "REJECTED" and result["icmp"]["from"] == "10.201.1.1"


def test_a_closed_port_is_no_listener_and_a_missing_way_is_no_route(prober, rules):
    prober.listen("b", ports=[1000])
    closed = {"listening": False}
    assert prober.verdicts("a", ("tcp", B, 1001, closed), ("udp", B, 1001, closed)) == ["NO_LISTENER"] * 2
    run("ip -n fp-a route add unreachable 10.201.8.0/24; ip -n fp-r route add unreachable 10.201.9.0/24")
    dests = ["10.201.7.7", "10.201.9.9", "10.201.8.8"]  # of no host, refused by the router, refused by the host itself
    try:
        # The router answers for a missing route once a second at most, after the first five: it is asked again.
        jobs = [*[("udp", dest, 1000) for dest in dests], ("tcp", "10.201.8.8", 1000), ("tcp", "10.201.9.9", 1000)]
        results = prober.probe("a", *jobs, timeout=3.2)
    finally:
        run("ip -n fp-a route delete unreachable 10.201.8.0/24; ip -n fp-r route delete unreachable 10.201.9.0/24")
    assert [result["verdict"] for result in results] == ["NO_ROUTE"] * 5
    router = "10.201.1.1"
    assert [result.get("icmp", {}).get("from") for result in results] == [router, router, None, None, router]
    assert [result["icmp"]["code"] for result in results[:2]] == [0, 1]


def test_a_lost_datagram_is_sent_again(prober, rules):
    rules("b", "-A INPUT -p udp --dport 1000 ! -i lo -m statistic --mode nth --every 3 --packet 0 -j DROP")
    prober.listen("b", ports=[1000])
    result = prober.probe("a", ("udp", B, 1000))[0]
    assert result["verdict"] == "ALLOWED" and result["ms"] > 300


def test_a_real_service_is_used_and_is_sent_nothing(prober, service, rules):
    service("b", TCP_SERVICE)
    service("b", UDP_SERVICE)
    said = prober.listen("b")
    assert {(found["proto"], found["port"]) for found in said["services"]} == {("tcp", 2222), ("udp", 2222)}
    assert all(found["process"].startswith("python") for found in said["services"])
    assert said["unusable"] == [] and said["bound"] == 2 * len(PORTS) - 2
    assert prober.silent("b", said) == {}
    jobs = [("tcp", B, 2222, {"service": True}), ("udp", B, 2222, {"service": True})]
    assert prober.verdicts("a", *jobs, again=True) == ["ALLOWED"] * 2
    rules("b", "-A INPUT -p udp --dport 2222 ! -i lo -j DROP")
    rules("b", "-A INPUT -p tcp --dport 2222 ! -i lo -j DROP")
    assert prober.verdicts("a", *jobs) == ["DROPPED"] * 2


def test_a_port_of_the_kernel_is_judged_too(prober, rules):
    run(f"ip -n fp-b link add fp-vx type vxlan id 42 dstport 4789 local {B} dev eth0 && ip -n fp-b link set fp-vx up")
    try:
        said = prober.listen("b")
        assert [(found["proto"], found["port"]) for found in said["services"]] == [("udp", 4789)]
        assert said["unusable"] == [] and prober.silent("b", said) == {}
        assert prober.verdicts("a", ("udp", B, 4789, {"service": True}), again=True) == ["ALLOWED"]
        rules("b", "-A INPUT -p udp --dport 4789 ! -i lo -j DROP")
        assert prober.verdicts("a", ("udp", B, 4789, {"service": True})) == ["DROPPED"]
    finally:
        run("ip -n fp-b link delete fp-vx")


def test_a_router_answers_for_the_kernel_s_port_from_the_address_that_was_asked(prober):
    run("ip -n fp-r link add fp-vx type vxlan id 42 dstport 4789 dev fp-r-b; ip -n fp-r link set fp-vx up")
    try:
        assert prober.listen("r", ports=[1000])["unusable"] == []
        result = prober.probe("a", ("udp", "10.201.2.1", 4789, {"service": True, "host": "r"}))[0]
        assert result["verdict"] == "ALLOWED" and "detail" not in result
    finally:
        run("ip -n fp-r link delete fp-vx")


def test_two_listeners_do_not_answer_each_other_s_answers(prober):
    """Both hear raw packets, and an answer to a port that nobody owns looks to the other one like any datagram."""
    run(f"ip -n fp-b link add fp-vx type vxlan id 42 dstport 4789 local {B} dev eth0 && ip -n fp-b link set fp-vx up")
    try:
        prober.listen("a", ports=[1000])
        prober.listen("b", ports=[1000])
        assert prober.verdicts("a", ("udp", B, 4789, {"service": True}), again=True) == ["ALLOWED"]
        assert (B, A, "udp") not in heard(prober.stop("a")["passed"])
        assert heard(prober.stop("b")["passed"])[A, B, "udp"] == [4789]
    finally:
        run("ip -n fp-b link delete fp-vx")


def test_where_a_packet_ended_is_heard_on_the_way(prober, rules):
    for name in "abr":
        prober.listen(name, ports=[1000, 1001, 1002, 1003])
    for proto in ("tcp", "udp"):
        rules("a", f"-A OUTPUT -p {proto} --dport 1000 -d {B} -j DROP")
        rules("r", f"-A FORWARD -p {proto} --dport 1001 -j DROP")
        rules("b", f"-A INPUT -p {proto} --dport 1002 -s {A} -j DROP")
        rules("r", f"-A FORWARD -p {proto} --sport 1003 -j DROP")  # one way: the answer is lost
    for proto in ("tcp", "udp"):
        jobs = [(proto, B, port) for port in range(1000, 1004)]
        assert [verdict for verdict in prober.verdicts("a", *jobs) if verdict not in ("DROPPED", "REJECTED")] == []
    at = {name: prober.stop(name) for name in "abr"}
    for proto in ("tcp", "udp"):
        key = A, B, proto
        assert heard(at["a"]["left"])[key] == [1001, 1002, 1003]
        assert heard(at["r"]["arrived"])[key] == [1001, 1002, 1003]
        assert heard(at["r"]["left"])[key] == [1002, 1003]
        assert heard(at["b"]["arrived"])[key] == [1002, 1003]
        assert heard(at["b"]["passed"])[key] == [1003]


def test_an_answer_from_the_wrong_host_is_misdirected(prober, rules):
    prober.listen("b")
    prober.listen("c")
    for proto in ("tcp", "udp"):
        rules("r", f"-t nat -A PREROUTING -p {proto} -d {B} --dport 1000 -j DNAT --to {C}")
        rules("r", f"-t nat -A PREROUTING -p {proto} -d {B} --dport 1001 -j DNAT --to {B}:1002")
    jobs = [(proto, B, port) for port in (1000, 1001, 1003) for proto in ("tcp", "udp")]
    results = prober.probe("a", *jobs)
    assert [result["verdict"] for result in results] == ["MISDIRECTED"] * 4 + ["ALLOWED"] * 2
    assert [result["by"] for result in results[:4]] == ["c", "c", "b", "b"]
    assert results[2]["detail"] == results[3]["detail"] == f"it arrived at {B} port 1002"
    assert results[0]["detail"] == f"c answered, at {C}"


def test_a_translated_source_is_told(prober, rules):
    rules("r", "-t nat -A POSTROUTING -p tcp --dport 1000 -j MASQUERADE")
    prober.listen("b")
    first, second = prober.probe("a", ("tcp", B, 1000), ("tcp", B, 1001))
    assert (first["verdict"], first["peer"]) == ("ALLOWED", "10.201.2.1")
    assert "peer" not in second


def test_something_else_that_listens_is_not_taken_for_the_listener(prober, service):
    service("b", TCP_SERVICE)
    result = prober.probe("a", ("tcp", B, 2222))[0]
    assert result["verdict"] == "MISDIRECTED"


def test_a_new_listener_replaces_an_old_one_and_only_its_own_run_stops_it(prober):
    prober.listen("b", ports=[1000], token="crashed")
    assert prober.listen("b", ports=[1000])["replaced"] is True
    assert prober.step("b", step="stop", token="crashed", peers=[])["running"] is False
    assert prober.verdicts("a", ("tcp", B, 1000), again=True) == ["ALLOWED"]
    assert prober.stop("b")["running"] is True
    assert prober.stop("b")["running"] is False
    assert prober.verdicts("a", ("tcp", B, 1000, {"listening": False})) == ["NO_LISTENER"]


def test_the_listener_ends_when_its_time_is_over(prober):
    prober.listen("b", ports=[1000], ttl=1)
    time.sleep(1.5)
    assert prober.stop("b")["running"] is False
    assert subprocess.run(["ip", "netns", "pids", "fp-b"], capture_output=True, text=True, check=True).stdout == ""


def test_a_socket_that_does_not_answer_its_own_host_is_silent(prober, rules):
    rules("b", "-A INPUT -i lo -p tcp --dport 1000 -j DROP")
    said = prober.listen("b", ports=[1000, 1001])
    assert said["unusable"] == []
    assert prober.silent("b", said, ports=[1000, 1001]) == {
        Socket("tcp", B, 1000): "a probe from the host itself: DROPPED"
    }


def test_a_service_for_ipv6_alone_is_silent_at_an_ipv4_address(prober, service):
    service("b", IPV6_SERVICE)
    said = prober.listen("b", ports=[1000])
    assert [(found["address"], found["port"]) for found in said["services"]] == [(B, 9100)]
    assert prober.silent("b", said, ports=[1000]) == {
        Socket("tcp", B, 9100): "a probe from the host itself: REJECTED refused"
    }


def test_four_thousand_probes_take_little_more_than_one_timeout(prober, rules):
    ports = list(range(3000, 4000))
    rules("b", "-A INPUT -p tcp --dport 3500:4999 ! -i lo -j DROP")
    rules("b", "-A INPUT -p udp --dport 3500:4999 ! -i lo -j DROP")
    began = time.monotonic()
    prober.listen("b", ports=ports)
    listening = time.monotonic()
    verdicts = prober.verdicts("a", *[(proto, B, port) for proto in ("tcp", "udp") for port in range(3000, 5000)])
    done = time.monotonic()
    assert verdicts == (["ALLOWED"] * 500 + ["DROPPED"] * 1500) * 2
    print(f"listen {listening - began:.1f} s, probe {done - listening:.1f} s")
    # One after the other, those that are dropped take 75 minutes.
    assert done - listening < 30
