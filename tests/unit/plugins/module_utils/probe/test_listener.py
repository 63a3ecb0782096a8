from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe import listener
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listener import Listener, grouped
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Heard
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.wire import Packet

SOURCE, DEST = "10.0.1.11", "10.0.3.11"


def test_flows_are_reported_by_source_and_only_for_those_that_were_asked_for():
    flows = {(SOURCE, DEST, "tcp", 22), (SOURCE, DEST, "tcp", 9), ("10.9.9.9", DEST, "tcp", 22)}
    assert grouped(flows, {SOURCE}) == (Heard(SOURCE, DEST, "tcp", (9, 22)),)


def test_what_does_not_fit_into_the_notes_counts_as_lost(monkeypatch):
    monkeypatch.setattr(listener, "MOST_FLOWS", 2)
    one = Listener("run", "mon1", b"key")
    for port in (1, 2, 2, 1, 3, 4):
        one._note("passed", Packet(SOURCE, DEST, "tcp", port, 40000, None))
    assert (len(one.heard["passed"]), one.lost) == (2, 2)
