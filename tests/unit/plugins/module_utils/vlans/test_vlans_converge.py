"""read -> plan -> apply under a timer, on a host of each network stack."""

from __future__ import annotations

import os
import stat
from types import SimpleNamespace

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils import patience
from ansible_collections.bulkhead.tiers.plugins.module_utils.local import now
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.converge import Converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.guard import BOOT, CHANGE, PROGRAM, WANTS, Guard
from ansible_collections.bulkhead.tiers.plugins.module_utils.waiting_change import act

WEB = {"id": 10, "tier": "web", "subnets": ["10.0.1.0/24"], "addresses": ["10.0.1.11/24"]}
DB = {"id": 20, "tier": "db", "subnets": ["10.0.2.0/24"], "addresses": ["10.0.2.11/24"]}


def params(*vlans, **more):
    options = {"parent": "eth1", "vlans": list(vlans), "addresses": {}, "routes": {}, "names": {}, "untagged": []}
    return {**options, "stack": "auto", "confirm": {"timeout": 30}, **more}


def converge(host, *vlans, check_mode=False, keep=True, **more):
    """One run; what waits is kept, as the controller does it over a new connection."""
    host.commands.clear()
    said = Converge(params(*vlans, **more), host.run, str(host.root)).converge(check_mode)
    if keep and "pending" in said:
        assert act(Guard(str(host.root), host.run), "keep", said["pending"]["token"])["state"] == "kept"
    return said


def vlans(host):
    return sorted(name for name, link in host.links.items() if "linkinfo" in link)


def test_interfaces_are_made_and_a_second_run_changes_nothing(host):
    said = converge(host, WEB, DB)
    assert said["changed"] and said["stack"] == host.stack and vlans(host) == ["eth1.10", "eth1.20"]
    again = converge(host, WEB, DB)
    assert not again["changed"] and again["diff"] == [] and "pending" not in again and host.changes == []


def test_check_mode_says_the_same_and_changes_nothing(host):
    before = host.own()
    said = converge(host, WEB, check_mode=True)
    assert said["changed"] and said["files"] and host.own() == before and host.changes == [] and host.timers == []
    assert said["files"] == converge(host, WEB)["files"]


def test_one_that_is_not_named_any_more_goes_and_the_other_one_stays_up(host):
    converge(host, WEB, DB)
    assert converge(host, WEB)["changed"]
    assert vlans(host) == ["eth1.10"]
    assert not [argv for argv in host.changes if argv[-1] == "eth1.10"]


def test_an_empty_list_leaves_nothing_of_ours(host):
    before = host.own()
    converge(host, WEB, DB)
    assert converge(host)["changed"]
    assert vlans(host) == [] and host.own() == before


def test_another_id_makes_the_interface_anew(host):
    converge(host, WEB, names={"web": "lan0"})
    converge(host, {**WEB, "id": 11}, names={"web": "lan0"})
    assert host.links["lan0"]["linkinfo"]["info_data"]["id"] == 11
    assert ["ip", "link", "delete", "dev", "lan0"] in host.changes


def test_an_interface_that_was_deleted_by_hand_comes_back(host):
    converge(host, WEB, DB)
    del host.links["eth1.20"]
    said = converge(host, WEB, DB)
    assert said["changed"] and said["files"] == [] and "eth1.20: as its file says" in said["diff"][0]["after"]
    assert vlans(host) == ["eth1.10", "eth1.20"]


def test_what_others_wrote_is_as_it_was(host):
    others = host.own()
    converge(host, WEB)
    assert {path: text for path, text in host.own().items() if path in others} == others


def test_a_file_of_others_with_the_name_of_ours_is_refused_and_kept(host):
    converge(host, WEB)
    path = next(path for path in host.own() if "bulkhead" in path)
    (host.root / path[1:]).write_text("by hand\n")
    with pytest.raises(Refused, match="has not written"):
        converge(host, WEB, DB)
    assert host.own()[path] == "by hand\n" and host.changes == []


def test_an_interface_of_others_with_the_name_of_a_wanted_one_is_refused(host):
    host.links["eth1.10"] = {"ifname": "eth1.10", "link": "eth1"}
    with pytest.raises(Refused, match="has not made"):
        converge(host, WEB)
    assert host.changes == [] and host.timers == []


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_kernel_without_802_1q_is_told_in_one_error_before_anything_is_changed(host, check_mode):
    host.kernel, before = False, host.own()
    with pytest.raises(Refused) as raised:
        converge(host, WEB, DB, check_mode=check_mode)
    (error,) = raised.value.errors
    assert (
        "got a kernel without 802.1q (modprobe 8021q: FATAL: Module 8021q not found)" in error
        and "Nothing was changed" in error
    )
    assert host.own() == before and host.changes == [] and not os.path.exists(f"{host.root}{CHANGE}")


def test_a_kernel_that_has_802_1q_built_in_needs_no_modprobe(host):
    host.kernel = False
    (host.root / "proc/net/vlan").mkdir()
    assert converge(host, WEB)["changed"]


def test_a_parent_that_is_not_there_is_told_with_what_is(host):
    with pytest.raises(Refused, match="eth9, which is not there.*the host has eth1"):
        converge(host, WEB, parent="eth9")


def test_a_stack_that_does_not_look_after_the_parent_is_refused(host):
    other = {"ifupdown": "netplan", "netplan": "ifupdown", "networkd": "ifupdown"}[host.stack]
    with pytest.raises(Refused, match="where it looks after eth1"):
        converge(host, WEB, stack=other)
    assert host.changes == []


# -- confirmed, or back ----------------------------------------------------------------------------------------------


def test_a_change_waits_under_a_timer_with_the_old_files_on_the_host(host):
    said = converge(host, WEB, keep=False)
    change = Guard(str(host.root)).change()
    assert said["pending"]["token"] == change.token and said["pending"]["timeout"] == 30
    assert set(change.files.values()) == {None} and now() < change.deadline <= now() + 30
    assert [argv[-3:] for argv in host.timers][-1] == ["settle", change.token, "30"]
    for name in (CHANGE, PROGRAM):
        assert not stat.S_IMODE(os.stat(f"{host.root}{name}").st_mode) & 0o077


def test_the_timer_is_there_before_the_first_file_is_written(host, monkeypatch):
    seen = []
    put = Guard.put
    monkeypatch.setattr(Guard, "put", lambda self, files: (seen.append(list(host.timers)), put(self, files))[1])
    converge(host, WEB)
    assert len(seen[0]) == 1


@pytest.mark.parametrize("command", ["settle", "back"])
def test_a_change_that_is_not_confirmed_is_taken_back_files_and_interfaces(host, command):
    converge(host, WEB)
    before, links = host.own(), dict(host.links)
    said = converge(host, {**WEB, "addresses": ["10.0.1.12/24"]}, DB, keep=False)
    assert vlans(host) == ["eth1.10", "eth1.20"] and host.own() != before
    assert act(Guard(str(host.root), host.run), command, said["pending"]["token"])["state"] == "back"
    assert host.own() == before and host.links == links
    assert not os.path.exists(f"{host.root}{CHANGE}")


def test_the_rollback_of_the_first_change_leaves_nothing(host):
    before = host.own()
    said = converge(host, WEB, keep=False)
    act(Guard(str(host.root), host.run), "settle", said["pending"]["token"])
    assert host.own() == before and vlans(host) == []


def test_a_rollback_brings_back_what_a_change_has_removed(host):
    converge(host, WEB, DB)
    before, links = host.own(), dict(host.links)
    said = converge(host, keep=False)
    act(Guard(str(host.root), host.run), "settle", said["pending"]["token"])
    assert host.own() == before and host.links == links


def test_an_interface_that_does_not_come_up_takes_all_of_it_back(host):
    converge(host, WEB)
    before, links = host.own(), dict(host.links)
    host.dead.add("eth1.20")
    with pytest.raises(Refused, match=r"eth1\.20 did not come up"):
        converge(host, WEB, DB)
    assert host.own() == before and host.links == links and Guard(str(host.root)).change() is None


def test_a_command_that_fails_takes_all_of_it_back(host):
    before = host.own()
    host.fails.add({"ifupdown": "ifup"}.get(host.stack, ""))
    host.dead.add("eth1.10")
    with pytest.raises(Refused, match="failed|did not come up"):
        converge(host, WEB)
    assert host.own() == before


def test_a_reboot_before_the_confirmation_brings_the_old_files_back_before_the_network_is_up(host):
    (host.root / "run/systemd/system").mkdir(parents=True)
    converge(host, WEB)
    before = host.own()
    converge(host, WEB, DB, keep=False)
    unit = host.own()[BOOT]
    assert "Before=network-pre.target systemd-networkd.service networking.service" in unit and f"{PROGRAM} boot" in unit
    assert os.readlink(f"{host.root}{WANTS}") == BOOT
    host.commands.clear()
    assert act(Guard(str(host.root), host.run), "boot", None)["state"] == "back"
    assert host.own() == before and host.changes == [] and not os.path.lexists(f"{host.root}{WANTS}")


def test_a_kept_change_leaves_nothing_for_the_next_boot(host):
    (host.root / "run/systemd/system").mkdir(parents=True)
    converge(host, WEB)
    assert BOOT not in host.own() and not os.path.lexists(f"{host.root}{WANTS}")


@pytest.mark.parametrize(("command", "word"), [("settle", "rolled back"), ("keep", "kept")])
@pytest.mark.parametrize("check_mode", [False, True])
def test_another_change_is_waited_for_until_it_is_settled(host, monkeypatch, command, word, check_mode):
    token = converge(host, WEB, keep=False)["pending"]["token"]
    settle = SimpleNamespace(sleep=lambda seconds: act(Guard(str(host.root), host.run), command, token))
    monkeypatch.setattr(patience, "time", settle)
    said = converge(host, WEB, check_mode=check_mode)
    assert said["changed"] is (command == "settle")
    assert said["notes"] == [f"waited 0 s for another change, which was {word}"]


def test_a_change_that_is_not_settled_in_time_is_not_disturbed(host, monkeypatch):
    converge(host, WEB, keep=False)
    monkeypatch.setattr(patience, "LONGEST", 0)
    with pytest.raises(Refused, match="another change that waits"):
        converge(host, WEB, DB)
    assert vlans(host) == ["eth1.10"]


def test_a_change_whose_timer_was_lost_is_taken_back_first(host):
    converge(host, WEB, keep=False)
    guard = Guard(str(host.root))
    change = guard.change()
    change.deadline = now() - 60
    guard.arm(change)
    said = converge(host, DB)
    assert "taken back first" in said["notes"][0] and vlans(host) == ["eth1.20"]


def test_a_change_whose_timer_is_late_while_it_is_waited_for_is_taken_back(host, monkeypatch):
    converge(host, WEB, keep=False)
    guard = Guard(str(host.root))

    def late(_seconds):
        change = guard.change()
        change.deadline = now() - 60
        guard.arm(change)

    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=late))
    notes = converge(host, DB)["notes"]
    assert notes[0] == "waited 0 s for another change, which was rolled back" and "taken back first" in notes[1]


def test_without_a_confirmation_nothing_waits(host):
    said = converge(host, WEB, confirm={"timeout": 0})
    assert "pending" not in said and Guard(str(host.root)).change() is None and vlans(host) == ["eth1.10"]


def test_a_rollback_that_fails_waits_on(host):
    converge(host, WEB)
    said = converge(host, keep=False)
    host.fails.add({"ifupdown": "ifup", "netplan": "netplan", "networkd": "networkctl"}[host.stack])
    answer = act(Guard(str(host.root), host.run), "settle", said["pending"]["token"])
    assert "does not work today" in answer["error"] and answer["state"] == "waiting"
