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
