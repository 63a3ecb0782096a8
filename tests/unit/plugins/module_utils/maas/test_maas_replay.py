# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stand-in answers every recorded request as MAAS 3.6.5 did."""

from __future__ import annotations

import json
import pathlib
import re
from urllib.parse import urlencode

import pytest
from maas_server import region as region_module
from maas_server.region import API, Region
from maas_server.serve import Front, encoded

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import ApiKey

FOLDER = pathlib.Path(region_module.__file__).parent / "transcripts"
NOW = 1795213738
KEY = "consumer:token:REDACTED-SECRET"


def transcript(name):
    return json.loads((FOLDER / name).read_text())


def normal(value):
    """Lists sorted (MAAS gives most no order), addresses of made-up network cards and nonces blanked."""
    if isinstance(value, list):
        return sorted((normal(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, dict):
        return {key: "MAC" if key == "mac_address" else normal(item) for key, item in value.items()}
    if isinstance(value, str):
        return re.sub(r"(Nonce already used: )\w+", r"\1NONCE", value)
    return value


def plug_racks_where_the_recording_has_them(region, entry):
    """The racks' new interfaces were made behind the API's back, just before the recorded list shows them."""
    if entry["path"] != "rackcontrollers/":
        return
    for rack in entry["response"]:
        have = region.nodes[rack["system_id"]]["interfaces"]
        for interface in rack["interface_set"]:
            if interface["id"] not in have:
                region._next["interface"] = interface["id"]
                region.plug(rack["system_id"], interface["vlan"]["id"])


class Player:
    """Sends a recorded request; the five about authorisation by their note."""

    def __init__(self):
        self.region = Region()
        self.front = Front(self.region, key=KEY, clock=lambda: NOW)
        self.last = None

    def header(self, note):
        if note == "nonce used again":
            return self.last
        if note == "no authorization header":
            return None
        if note.startswith("bad signature"):
            return ApiKey("consumer", "token", "WRONG").header(NOW)
        return ApiKey("consumer", "token", "REDACTED-SECRET").header(NOW - 4000 if note == "old timestamp" else NOW)

    def play(self, entry):
        plug_racks_where_the_recording_has_them(self.region, entry)
        self.last = self.header(entry["note"])
        headers = {"authorization": self.last} if self.last else {}
        body = entry["body"]
        if isinstance(body, dict):
            body = urlencode(body)
        elif isinstance(body, str):
            headers["content-type"] = "application/json"
        return self.front.answer(entry["method"], API + entry["path"], headers, body or "")


@pytest.mark.parametrize("name", ["3.6.5.json", "3.6.5-more.json"])
def test_the_whole_transcript_gets_the_recorded_answers(name):
    player = Player()
    entries = transcript(name)
    for number, entry in enumerate(entries):
        reply = player.play(entry)
        where = "%s entry %d (%s)" % (name, number, entry["note"])
        assert reply.status == entry["status"], where
        assert reply.content_type == entry["content_type"], where
        assert normal(reply.body) == normal(entry["response"]), where
        assert reply.headers.get("WWW-Authenticate") == entry.get("www_authenticate"), where
        assert encoded(reply) is not None
    assert len(entries) == {"3.6.5.json": 64, "3.6.5-more.json": 71}[name]


MACHINES = transcript("3.6.5-machines.json")


def by_id(value):
    """Nodes in one order; what the recording has of racks beyond their names is in the other transcripts."""
    if not isinstance(value, list):
        return value
    plain = [item if item["node_type"] == 0 else (item["system_id"], item["hostname"]) for item in value]
    return sorted(plain, key=str)


@pytest.mark.parametrize("number", [number for number, entry in enumerate(MACHINES) if number != 11])
def test_a_region_with_the_recorded_nodes_gives_the_recorded_lists_of_them(number):
    """Each request is put to a region with the nodes that were there: those of the first list, of an ordinary user's own list
    for his key (the stand-in has one user), and, in the second region, the ones that are shown."""
    entry = MACHINES[number]
    shown = MACHINES[4]["response"] if number < 6 else entry["response"]
    player = Player()
    player.region.nodes.clear()
    for node in shown:
        facts = node if node["node_type"] == 0 else {}
        player.region.add_node(node["system_id"], node["hostname"], node["node_type"], facts)
    path, _question, query = entry["path"].partition("?")
    query = "?" + (query or urlencode(entry["body"] or {}))
    header = {"authorization": player.header("")}
    reply = player.front.answer("GET", API + path + query, header, "")
    assert (reply.status, reply.content_type) == (entry["status"], entry["content_type"]), entry["note"]
    assert by_id(reply.body) == by_id(entry["response"]), entry["note"]


def test_an_unknown_key_is_refused_as_it_was():
    entry, player = MACHINES[11], Player()
    header = {"authorization": ApiKey("another", "token", "REDACTED-SECRET").header(NOW)}
    reply = player.front.answer("GET", API + entry["path"], header, "")
    assert (reply.status, reply.content_type, reply.body) == (entry["status"], entry["content_type"], entry["response"])


def keys_of(value, path=""):
    """The key paths of everything in a value; those of a list are those of what it holds."""
    found = set()
    for key, item in value.items() if isinstance(value, dict) else ():
        found |= {f"{path}.{key}"} | keys_of(item, f"{path}.{key}")
    for item in value if isinstance(value, list) else ():
        found |= keys_of(item, f"{path}[]")
    return found


def test_a_machine_that_the_stand_in_makes_has_the_form_of_a_recorded_one():
    region = Region()
    (vlan, *_others) = sorted(region.vlans)
    made = region.handle("POST", "subnets/", {"cidr": "10.9.0.0/24", "vlan": str(vlan)}).body
    region.add_node("abc123", "made", 0, {})
    region.plug("abc123", vlan, ((made["id"], "10.9.0.5"),), "eth0")
    (machine,) = region.handle("GET", "machines/", {"hostname": "made"}).body
    recorded = next(item for item in MACHINES[0]["response"] if item["hostname"] == "deployed1")
    assert keys_of(machine) == keys_of(recorded)
    assert machine["ip_addresses"] == ["10.9.0.5"] and machine["boot_interface"]["name"] == "eth0"
