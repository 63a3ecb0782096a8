# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every request of a run fails in turn, in every way: a recovery or a clear error, and the next run finishes."""

from __future__ import annotations

import json
import threading

import pytest
from maas_server import harness
from maas_server.region import Reply
from maas_server.serve import Fault, Front, Server

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import ensure, failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import MaasError

HTML = "text/html; charset=utf-8"

TREE = {
    "spaces": [{"name": "inner"}],
    "purge": ["ranges", "static_routes"],
    "fabrics": [
        {
            "name": "gough",
            "vlans": [
                {"vid": 0, "mtu": 9000},
                {
                    "vid": 10,
                    "name": "management",
                    "relay_vlan": {"vid": 20},
                    "subnets": [
                        {
                            "cidr": "10.0.1.0/24",
                            "gateway_ip": "10.0.1.1",
                            "static_routes": [{"destination": "10.0.2.0/24", "gateway_ip": "10.0.1.254"}],
                        }
                    ],
                },
                {
                    "vid": 20,
                    "name": "provisioning",
                    "space": "inner",
                    "dhcp_on": True,
                    "primary_rack": "rack2",
                    "secondary_rack": "rack1",
                    "subnets": [
                        {
                            "cidr": "10.0.2.0/24",
                            "dns_servers": ["10.0.2.10"],
                            "ranges": [
                                {"type": "dynamic", "start_ip": "10.0.2.100", "end_ip": "10.0.2.200"},
                                {"type": "reserved", "start_ip": "10.0.2.2", "end_ip": "10.0.2.20"},
                            ],
                        }
                    ],
                },
                {"vid": 30, "state": "absent", "orphans_to": {"vid": 10}},
            ],
        }
    ],
}
# An earlier state with something to delete, to move, to turn off and to swap, so that a run has every verb in it.
EARLIER = {
    "fabrics": [
        {
            "name": "gough",
            "vlans": [
                {
                    "vid": 20,
                    "dhcp_on": True,
                    "primary_rack": "rack1",
                    "secondary_rack": "rack2",
                    "subnets": [
                        {
                            "cidr": "10.0.2.0/24",
                            "gateway_ip": "10.0.2.1",
                            "ranges": [
                                {"type": "dynamic", "start_ip": "10.0.2.50", "end_ip": "10.0.2.60"},
                                {"type": "reserved", "start_ip": "10.0.2.240", "end_ip": "10.0.2.250"},
                            ],
                        }
                    ],
                },
                {"vid": 30, "subnets": [{"cidr": "10.0.3.0/24"}]},
            ],
        }
    ],
}
REQUESTS, READS = 23, 8

RECOVERED = {
    "timeout, not done": Fault("timeout"),
    "timeout, done": Fault("timeout", done=True),
    "reset, not done": Fault("reset"),
    "reset, done": Fault("reset", done=True),
    "409": Fault("status", reply=Reply(409, "Conflict", "text/plain", {"Retry-After": "3"})),
    "503": Fault("status", reply=Reply(503, "Unavailable", HTML, {"Retry-After": "5"})),
    "503 without Retry-After": Fault("status", reply=Reply(503, "Unavailable", HTML)),
    "504, not done": Fault("status", reply=Reply(504, "Gateway Time-out", HTML)),
    "504, done": Fault("status", done=True, reply=Reply(504, "Gateway Time-out", HTML)),
    "nonce": Fault("status", reply=Reply(401, "Authorization Error: 'Nonce already used: 123'", HTML)),
}


def refused(front):
    """Faults that no repetition helps; the 401 of a bad signature is MAAS's own, with the secret in it."""
    secret = front.key.split(":")[2]
    signature = f"Authorization Error: 'Invalid signature. Expected signature base string: &{secret}'"
    token = "Authorization Error: 'Invalid access token: {}'".format(front.key.split(":")[1])
    return {
        "500": Fault("status", reply=Reply(500, f"something broke near {secret}", "text/plain")),
        "401 bad key": Fault("status", reply=Reply(401, signature, HTML)),
        "401 revoked": Fault("status", reply=Reply(401, token, HTML)),
    }


def prepared():
    front = harness.front()
    harness.run(front, EARLIER)
    front.log.clear()
    return front


def only(number, fault):
    return lambda index, method, path: fault if index == number else None


def assert_no_secret(front, text):
    for part in front.key.split(":"):
        assert part not in text


def assert_finished(front):
    """The next run goes to the end, the one after it has nothing to do, and nothing is there twice."""
    front.faults = None
    harness.run(front, TREE)
    again = harness.run(front, TREE)
    assert again["operations"] == []
    region = front.region
    assert len([fabric for fabric in region.fabrics.values() if fabric["name"] == "gough"]) == 1
    assert len(region.ranges) == 2 and len(region.subnets) == 3 and len(region.spaces) == 1 and len(region.routes) == 1


def test_a_run_without_faults_has_as_many_requests_as_these_tests_break():
    front = prepared()
    harness.run(front, TREE)
    assert len(front.log) == REQUESTS
    assert [method for method, *_rest in front.log].count("GET") == READS == len(front.log[:READS])
    assert {method for method, _path, _data, _status in front.log} == {"GET", "POST", "PUT", "DELETE"}


@pytest.mark.parametrize(
    ("number", "name"),
    # A read that timed out is not sent again.
    [
        (number, name)
        for number in range(REQUESTS)
        for name in sorted(RECOVERED)
        if number >= READS or "timeout" not in name
    ],
)
def test_a_passing_fault_of_any_request_is_recovered_from(number, name):
    front = prepared()
    front.faults = only(number, RECOVERED[name])
    pauses = []
    result = harness.run(front, TREE, pauses=pauses)
    assert result["changed"] and len(pauses) == 1
    if "Retry-After" in getattr(RECOVERED[name].reply, "headers", {}):
        assert pauses == [float(RECOVERED[name].reply.headers["Retry-After"])]
    front.faults = None
    assert harness.run(front, TREE)["operations"] == []
    assert_finished(front)


@pytest.mark.parametrize("name", ["500", "401 bad key", "401 revoked"])
@pytest.mark.parametrize("number", range(REQUESTS))
def test_a_refusal_of_any_request_stops_the_run_with_a_clear_text_without_the_secret(name, number):
    front = prepared()
    fault = refused(front)[name]
    front.faults = lambda index, method, path: fault if index >= number else None
    with pytest.raises(MaasError) as caught:
        harness.run(front, TREE)
    facts = failure(caught.value)
    text = json.dumps(facts) + repr(caught.value) + str(caught.value.__cause__)
    assert_no_secret(front, text)
    assert name.split(" ")[0] in facts["msg"]
    # One attempt: neither is helped by another.
    assert len(front.log) == number + 1 or name == "500"
    if name.startswith("401"):
        assert "API key" in facts["msg"]
    assert facts["changed"] == bool(facts["operations"])
    assert_finished(front)


@pytest.mark.parametrize("kind", ["timeout", "reset"])
@pytest.mark.parametrize("number", range(0, REQUESTS, 3))
def test_a_region_that_stays_away_ends_in_an_error_that_says_so(kind, number):
    front = prepared()
    front.faults = lambda index, method, path: Fault(kind) if index >= number else None
    with pytest.raises(MaasError) as caught:
        harness.run(front, TREE, retries=2)
    text = str(caught.value)
    assert "after 3 attempts" in text or ("no answer within 90 s" in text and "not sent again" in text)
    assert_no_secret(front, text)
    assert_finished(front)


def test_a_read_that_timed_out_is_not_sent_twice():
    front = prepared()
    front.faults = lambda index, method, path: Fault("timeout") if (method, path) == ("GET", "subnets/") else None
    with pytest.raises(MaasError, match="it was not sent again, because MAAS still works on it; wait longer with"):
        harness.run(front, TREE)
    assert [path for method, path, *_rest in front.log].count("subnets/") == 1
    assert_finished(front)


def test_a_post_that_timed_out_is_read_back_and_not_sent_twice():
    front = prepared()
    number = []

    def faults(index, method, path):
        if method == "POST" and path == "subnets/" and not number:
            number.append(index)
            return Fault("timeout", done=True)
        return None

    front.faults = faults
    harness.run(front, TREE)
    posts = [data for method, path, data, _status in front.log if (method, path) == ("POST", "subnets/")]
    assert len(posts) == len({data["cidr"] for data in posts})
    assert front.log[number[0] + 1][:2] == ("GET", "subnets/")


def test_a_wrong_key_says_so_and_shows_nothing_of_either_key():
    front = prepared()
    wrong = "consumerkey1:tokenkey222:notTheSecret99"
    with pytest.raises(MaasError) as caught:
        harness.run(front, TREE, key=wrong)
    text = json.dumps(failure(caught.value))
    assert "401" in text and "maas apikey" in text
    assert_no_secret(front, text)
    assert "notTheSecret99" not in text
    assert len(front.log) == 1


def test_a_clock_that_is_off_is_named_as_the_cause():
    front = prepared()
    client = harness.client(front)
    client._clock = lambda: front.clock() - 4000
    with pytest.raises(MaasError, match="clocks differ by more than 300 s"):
        client.get("fabrics/")


def test_every_attempt_is_signed_with_a_new_nonce():
    front = prepared()
    before = len(front._nonces)
    front.faults = only(0, Fault("reset", done=True))
    assert harness.client(front).get("fabrics/")
    assert len(front._nonces) == before + 2 and [status for *_rest, status in front.log] == [0, 200]


def test_a_long_retry_after_does_not_hang_the_play():
    front = prepared()
    front.faults = only(0, Fault("status", reply=Reply(503, "", HTML, {"Retry-After": "86400"})))
    pauses = []
    harness.run(front, TREE, pauses=pauses)
    assert pauses == [30.0]


def test_a_thing_that_another_writer_made_meanwhile_is_taken_over_and_corrected():
    front = prepared()
    raced = []

    def faults(index, method, path):
        if method == "POST" and path == "subnets/" and not raced:
            raced.append(True)
            front.region.handle("POST", "subnets/", {"cidr": "10.0.1.0/24", "vlan": "5001", "description": "theirs"})
        return None

    front.faults = faults
    harness.run(front, TREE)
    front.faults = None
    assert harness.run(front, TREE)["operations"] == []
    assert_finished(front)


def test_a_thing_that_another_writer_deleted_meanwhile_counts_as_deleted():
    front = prepared()

    def faults(index, method, path):
        if method == "DELETE" and path.startswith("vlans/"):
            front.region.handle("DELETE", path, {})
        return None

    front.faults = faults
    assert harness.run(front, TREE)["changed"]
    assert_finished(front)


def test_two_writers_at_once_end_in_one_tree():
    front = Front(harness.region())
    harness.run(front, EARLIER)
    outcomes = []
    with Server(front) as server:

        def writer():
            client = harness.socket_client(server.url, front)
            try:
                outcomes.append(ensure(client, json.loads(json.dumps(TREE)), False)[0]["changed"])
            except MaasError as error:
                outcomes.append(str(error))
            finally:
                client.close()

        threads = [threading.Thread(target=writer) for _number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(outcomes) == 2 and True in outcomes
    for outcome in outcomes:
        # The slower one may find that what it was about to change is gone; it says so.
        assert outcome in (True, False) or "run the task again" in outcome
    assert_finished(front)
