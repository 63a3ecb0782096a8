"""What a user without rights on a target, and another host, try against a real listener: nothing of it hides a packet.

The user is the one without any right (uid 65534), in the namespace of the target; the listener is root's.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import textwrap
import time

import pytest
from probe_network import A, B, C, heard, run

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Verdict
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import checked
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import parse_result

FIRST, MANY = 3000, 600
EVERY = list(range(FIRST, FIRST + MANY))
#: What an attacker finds: whoever may read /proc/net/unix sees the name of the control socket.
PREAMBLE = """
import os, socket, sys, time
assert os.getuid() == 65534
def names():
    with open("/proc/net/unix") as table:
        fields = [line.split() for line in table]
    return sorted({one[7] for one in fields if len(one) == 8 and one[7].startswith("@bulkhead.tiers.flow_probe")})
def connect(name):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    sock.connect("\\0" + name[1:])
    return sock
"""


@pytest.fixture(name="user")
def fixture_user(network):
    """Run code as a user without rights in a host's namespace; it goes on after it has said `ready`."""
    started = []

    def start(name, code):
        words = ["ip", "netns", "exec", f"fp-{name}", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        # Debian's own: this user cannot read root's versions of Python.
        words += ["/usr/bin/python3", "-c", PREAMBLE + textwrap.dedent(code)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        assert process.stdout.readline() == "ready\n", process.stdout.read()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def muted(rules):
    """B lets all in and lets no answer out: what it heard is the only trace of a probe."""
    for proto in ("tcp", "udp"):
        rules("b", f"-A OUTPUT -p {proto} --sport {FIRST}:{FIRST + MANY} -d {A} -j DROP")


def probe_all(prober):
    jobs = [(proto, B, port) for proto in ("tcp", "udp") for port in EVERY]
    assert set(prober.verdicts("a", *jobs, timeout=0.7)) == {"DROPPED"}


def all_of_it(stopped):
    """Whether nothing is missing, or it is said that something is."""
    assert stopped["running"] is True
    passed = heard(stopped["passed"])
    whole = all(passed.get((A, B, proto)) == EVERY for proto in ("tcp", "udp"))
    return whole, stopped["lost"]


def test_a_user_who_talks_slowly_to_the_control_socket_hides_nothing(prober, rules, user):
    prober.listen("b", ports=EVERY)
    muted(rules)
    user(
        "b",
        """
        held = [connect(name) for name in names() for _ in range(5)]
        assert held
        print("ready", flush=True)
        while True:
            for sock in held:
                try:
                    sock.send(b"{")
                except OSError:
                    pass
            time.sleep(0.1)
        """,
    )
    probe_all(prober)
    assert all_of_it(prober.stop("b")) == (True, 0)


def test_a_user_who_knocks_without_end_at_the_control_socket_hides_nothing(prober, rules, user):
    prober.listen("b", ports=EVERY)
    muted(rules)
    user(
        "b",
        """
        (name,) = names()
        print("ready", flush=True)
        while True:
            try:
                connect(name)
            except OSError:
                pass
        """,
    )
    probe_all(prober)
    assert all_of_it(prober.stop("b")) == (True, 0)


def test_a_user_cannot_stop_the_listener_nor_read_what_it_heard(prober, user):
    prober.listen("b", ports=[1000])
    asked = user(
        "b",
        """
        said = b""
        for text in (b'{"token": null, "peers": ["10.201.1.10"]}', b"{" * 100000, b"[]", b""):
            for name in names():
                try:
                    sock = connect(name)
                    sock.sendall(text)
                    sock.shutdown(socket.SHUT_WR)
                    said += sock.recv(100)
                except OSError:
                    pass
        print("ready", flush=True)
        print("read", said, flush=True)
        """,
    )
    assert asked.stdout.readline() == "read b''\n"
    assert prober.verdicts("a", ("tcp", B, 1000), again=True) == ["ALLOWED"]
    assert heard(prober.stop("b")["passed"])[A, B, "tcp"] == [1000]


def test_a_user_who_takes_the_name_of_the_control_socket_first_prevents_nothing(prober, user):
    user(
        "b",
        """
        taken = []
        for name in ["", *(f".{number:016x}" for number in range(50))]:
            sock = socket.socket(socket.AF_UNIX)
            sock.bind("\\0bulkhead.tiers.flow_probe" + name)
            sock.listen(0)
            taken.append(sock)
        print("ready", flush=True)
        time.sleep(60)
        """,
    )
    assert prober.listen("b", ports=[1000])["unusable"] == []
    assert prober.verdicts("a", ("tcp", B, 1000), again=True) == ["ALLOWED"]
    assert heard(prober.stop("b")["passed"])[A, B, "tcp"] == [1000]


def test_connections_that_a_user_leaves_open_are_no_reason_not_to_answer(prober, user):
    prober.listen("b", ports=[1000, 1001])
    user(
        "b",
        """
        held = []
        for number in range(900):
            held.append(socket.create_connection(("10.201.2.10", 1000 + number % 2)))
        print("ready", flush=True)
        time.sleep(60)
        """,
    )
    assert prober.verdicts("a", ("tcp", B, 1000), ("tcp", B, 1001), ("udp", B, 1000), again=True) == ["ALLOWED"] * 3


def listener_of(name):
    """The process of the listener in a host's namespace."""
    (pid,) = subprocess.run(
        ["ip", "netns", "pids", f"fp-{name}"], capture_output=True, text=True, check=True
    ).stdout.split()
    return int(pid)


def test_what_waits_in_the_sockets_is_read_before_the_listener_answers(prober, rules):
    """As on a machine that is so busy that the listener does not run while the probes arrive."""
    prober.listen("b", ports=EVERY)
    muted(rules)
    pid = listener_of("b")
    os.kill(pid, signal.SIGSTOP)
    probe_all(prober)
    stop = prober.begin("b", step="stop", peers=[A])
    time.sleep(0.5)  # its command waits in the control socket, beside the packets
    os.kill(pid, signal.SIGCONT)
    assert all_of_it(prober.end(stop)) == (True, 0)


FLOOD = """
import socket, struct, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[1])):
    sock.sendto(b"bhq flood " + b"x" * 900, ("10.201.2.10", 1000))
"""


def test_what_did_not_fit_into_the_sockets_counts_as_lost(prober):
    prober.listen("b", ports=[1000])
    pid = listener_of("b")
    os.kill(pid, signal.SIGSTOP)
    # More than the buffers of 8 and 32 MB (the kernel doubles them): the last packets do not fit.
    run(f"ip netns exec fp-a python3 -c '{FLOOD}' 150000")
    stop = prober.begin("b", step="stop", peers=[A])
    os.kill(pid, signal.SIGCONT)
    stopped = prober.end(stop)
    assert stopped["running"] and stopped["lost"] > 0 and stopped["lost_wire"] > 0


ANSWERS_FOR_B = """
import json, socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("10.201.3.10", 1000))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(1024)
    token, job = data[4:].decode().split()
    said = {"id": job, "name": "b", "peer": peer[0], "at": "10.201.2.10", "port": 1000, "mac": "0" * 32}
    server.sendto(b"bha " + token.encode() + b" " + json.dumps(said).encode() + b"\\n", peer)
"""


def judged(prober, result):
    """What the controller makes of a result for B's port 1000."""
    job = Job("0", "udp", B, 1000, A, host="b", listening=True)
    return checked(job, parse_result(result), b"the key of b", prober.token).verdict


def test_another_host_cannot_answer_in_the_place_of_the_listener(prober, rules, service):
    """The router sends B's packets to C, which knows all that is said in the open."""
    prober.listen("b", ports=[1000])
    (right,) = prober.probe("a", ("udp", B, 1000))
    assert right["verdict"] == "ALLOWED" and judged(prober, right) is Verdict.ALLOWED
    service("c", ANSWERS_FOR_B)
    rules("r", f"-t nat -A PREROUTING -p udp -d {B} --dport 1000 -j DNAT --to {C}")
    (wrong,) = prober.probe("a", ("udp", B, 1000))
    assert wrong["verdict"] == "ALLOWED"  # the prober cannot tell
    assert judged(prober, wrong) is Verdict.MISDIRECTED


def test_a_prober_that_heard_one_answer_cannot_make_another_of_it(prober):
    prober.listen("b", ports=[1000, 1001])
    results = prober.probe("a", ("udp", B, 1001), ("udp", B, 1000))
    assert [result["verdict"] for result in results] == ["ALLOWED"] * 2
    assert judged(prober, {**results[0], "id": "0"}) is Verdict.MISDIRECTED  # of another port
    assert judged(prober, {**results[1], "id": "0"}) is Verdict.MISDIRECTED  # of another job


SEND = """
import socket, sys
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind(("eth0", 0))
for frame in sys.argv[1:]:
    sock.send(bytes.fromhex(frame))
"""


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(ttl=64, flags=0x02, fragment=0, options=b"", sport=40000, port=1000, wrong="", mac=None, tag=b""):
    """An Ethernet frame from A to its router with a SYN to B; wrong: which of its checksums is."""
    segment = struct.pack("!HHIIBBHHH", sport, port, 1, 0, 0x50, flags, 1024, 0, 0)
    pseudo = socket.inet_aton(A) + socket.inet_aton(B) + struct.pack("!BBH", 0, 6, len(segment))
    of_tcp = checksum(pseudo + segment) ^ (wrong == "TCP")
    segment = segment[:16] + struct.pack("!H", of_tcp) + segment[18:]
    words, length = 5 + len(options) // 4, 20 + len(options) + len(segment)
    header = struct.pack("!BBHHHBBH", 0x40 | words, 0, length, 7, fragment, ttl, 6, 0)
    header += socket.inet_aton(A) + socket.inet_aton(B) + options
    of_ip = checksum(header) ^ (wrong == "IP")
    return mac + bytes(6) + tag + b"\x08\0" + header[:10] + struct.pack("!H", of_ip) + header[12:] + segment


@pytest.fixture(name="send")
def fixture_send(network):
    """Send a frame from A's device to the router's."""
    shown = subprocess.run(["ip", "-n", "fp-r", "-j", "link", "show", "fp-r-a"], capture_output=True, check=True)
    router = bytes.fromhex(json.loads(shown.stdout)[0]["address"].replace(":", ""))

    def send(**how):
        data = frame(**{"mac": router, **how})
        run(f"ip netns exec fp-a python3 -c '{SEND}' {data.hex()}")

    return send


@pytest.mark.parametrize(
    "how",
    [
        {"ttl": 2, "flags": 0x03},
        {"ttl": 2, "flags": 0x06},
        {"ttl": 1},
        {"wrong": "TCP"},
        {"wrong": "IP"},
        {"fragment": 0x2000},
        {"options": bytes.fromhex("8307040102030400")},
        {"mac": b"\xff" * 6},
        {"tag": b"\x81\0\0\x07"},
        {"sport": 7},
    ],
    ids=" ".join,
)
def test_a_packet_that_is_dropped_for_its_form_is_no_evidence_of_a_filter(prober, send, how):
    """A prober that wants to look shut out sends packets that any host drops, though its filter would let others in."""
    for name in "br":
        prober.listen(name, ports=[1000])
    send(**how)
    assert prober.verdicts("a", ("udp", B, 1000), again=True) == ["ALLOWED"]  # what came before has arrived by now
    for name in "br":
        assert (A, B, "tcp") not in heard(prober.stop(name)["arrived"])


@pytest.mark.parametrize("ttl", [2, 64])
def test_a_packet_that_reaches_its_end_with_its_last_hop_is_heard_all_the_way(prober, send, ttl):
    """Otherwise it would seem to have ended at the router, whose filter let it through."""
    for name in "br":
        prober.listen(name, ports=[1000])
    send(ttl=ttl)
    assert prober.verdicts("a", ("udp", B, 1000), again=True) == ["ALLOWED"]
    router, target = prober.stop("r"), prober.stop("b")
    assert heard(router["arrived"])[A, B, "tcp"] == heard(router["left"])[A, B, "tcp"] == [1000]
    assert heard(target["arrived"])[A, B, "tcp"] == heard(target["passed"])[A, B, "tcp"] == [1000]


@pytest.mark.parametrize("flags", [0x0A, 0x22], ids=["SYN+PSH", "SYN+URG"])
def test_a_packet_of_an_odd_form_that_was_let_in_is_evidence_of_a_hole(prober, send, flags):
    prober.listen("b", ports=[1000])
    send(flags=flags)
    assert prober.verdicts("a", ("udp", B, 1000), again=True) == ["ALLOWED"]
    assert heard(prober.stop("b")["passed"])[A, B, "tcp"] == [1000]
