"""The steps of the proof as Ansible's workers run them, with hosts that answer by script."""

from __future__ import annotations

import json
import re
from datetime import date
from functools import cache
from types import SimpleNamespace
from unittest.mock import MagicMock
from xml.etree import ElementTree

import pytest
from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar
from static_sites import answer

from ansible_collections.bulkhead.tiers.plugins.action.prove import LISTENER, PROBE, READ, ActionModule
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import code_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import host_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.planned import planned_text
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import snapshot_of

SITE = {
    "bulkhead_tiers": {"plant": {"vlan": 2, "subnet": "10.0.2.0/24"}},
    "bulkhead_services": {"ssh": "22/tcp"},
    "bulkhead_flows": [{"from": "plant", "to": "self", "allow": "ssh"}],
}
ADDRESSES = {"a": "10.0.2.1", "b": "10.0.2.2", "o": "203.0.113.1"}
INVENTORY = """
[plant]
a
b
[outside]
o ansible_host=203.0.113.1
"""


@cache
def live():
    """The snapshot of a host that lets 22/tcp in."""
    rules = [{"rule": "allow", "proto": "tcp", "from_ip": "10.0.2.0/24", "to_ip": "10.0.2.0/24", "to_port": "22"}]
    return snapshot_of(rules=rules, default={"incoming": "deny", "outgoing": "allow", "routed": "deny"})


def plan():
    """The plan of the hosts."""
    return host_plan(parse_site(SITE, date(2026, 1, 1)), "any", ["plant"], False)


def step_of(args):
    """The step that a host is asked for, by what it is asked with."""
    return args.get("mode") or ("listen" if "key" in args else "read")


class Play:
    """A play of all hosts, whose modules answer honestly unless a host has a lie: {host: function of the answer}."""

    def __init__(self, folder, inventory=INVENTORY):
        self.file = folder / "hosts.ini"
        self.file.write_text(inventory)
        self.report = folder / "proof.json"
        self.loader = DataLoader()
        self.inventory = InventoryManager(self.loader, sources=[str(self.file)])
        self.hosts = [host.name for host in self.inventory.get_hosts()]
        self.limit = None
        self.lies = {}
        self.facts = {}
        self.check_mode = False
        self.calls = []
        self.printed = []
        self.keys = {}
        self.token = ""
        self.ports = []
        self.rules = {name: [planned_text(plan(), family) for family in (4, 6)] for name in ADDRESSES}

    def step(self, step, host=None, **args):
        host = host or self.hosts[0]
        variables = {
            **SITE,
            **self.inventory.get_host(host).get_vars(),
            "ansible_facts": self.facts.get(host, {}),
            "ansible_play_hosts_all": [name for name in self.hosts if self.limit in (None, name)],
            "groups": self.inventory.get_groups_dict(),
            "group_names": [group.name for group in self.inventory.get_host(host).get_groups()],
            "hostvars": SimpleNamespace(_loader=self.loader, _inventory=self.inventory),
        }
        if self.limit:
            variables["ansible_limit"] = self.limit
        task = MagicMock(Task, args={"step": step, **args}, action="prove", async_val=0, diff=False)
        task.check_mode, task.resolved_action = self.check_mode, "bulkhead.tiers.prove"
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
        context = SimpleNamespace(check_mode=self.check_mode)
        action = ActionModule(task, connection, context, self.loader, Templar(self.loader, variables), None)
        action._display = SimpleNamespace(display=lambda line, color=None: self.printed.append(line))
        action._execute_module = lambda **asked: self.answer(host, asked["module_name"], asked["module_args"])
        return action.run(task_vars=variables)

    def answer(self, host, module, args):
        self.calls.append((host, module, args))
        said = {
            "changed": False,
            "invocation": {"module_args": args},
            **getattr(self, f"_{step_of(args)}")(host, args),
        }
        return self.lies.get(host, lambda module, args, said: said)(module, args, said)

    def _read(self, host, args):
        said = answer({"eth0": [f"{ADDRESSES[host]}/24"]}, rules=self.rules[host]) if args["netfilter"] else {}
        return {"snapshot": live(), **said}

    def _listen(self, host, args):
        self.keys[host], self.token = bytes.fromhex(args["key"]), args["token"]
        self.ports = [one["port"] for one in args["listen"]]
        own = {"address": ADDRESSES[host], "prefix": 24, "interface": "eth0", "bridge": False}
        return {"addresses": [own], "hears": {"passed": True, "wire": True}}

    def _probe(self, host, args):
        return {"results": [self.result(job) for job in args["jobs"]]}

    def result(self, job):
        if not job.get("source"):  # of its own socket
            at, key = job["dest"], self.keys[job["host"]]
            mac = code_of(key, self.token, job["proto"], job["id"], job["host"], at, at, job["port"])
            return {"id": job["id"], "verdict": "ALLOWED", "ms": 1.0, "mac": mac, "peer": at}
        if (job["proto"], job["port"]) != ("tcp", 22) or not job.get("again"):
            return {"id": job["id"], "verdict": "DROPPED", "ms": 1.0}
        key = self.keys[job["host"]]
        mac = code_of(key, self.token, "tcp", job["id"], job["host"], job["source"], job["dest"], 22)
        return {"id": job["id"], "verdict": "ALLOWED", "ms": 1.0, "mac": mac}

    def _stop(self, host, args):
        every = [
            {"source": peer, "dest": ADDRESSES[host], "proto": proto, "ports": self.ports}
            for peer in args["peers"]
            for proto in ("tcp", "udp")
        ]
        passed = [{**flow, "ports": [22]} for flow in every if flow["proto"] == "tcp" and flow["source"][:4] == "10.0"]
        passed = [flow for flow in passed if flow["dest"][:4] == "10.0"]
        return {"running": True, "lost": 0, "lost_wire": 0, "arrived": every, "passed": passed, "left": []}

    def prove(self, leave=(), static=False, packets=True):
        """All steps, as the role runs them; leave: (step, host) at which a host leaves the play."""
        more = {"static": static, "packets": packets}
        begun = self.step("begin", seed="1", **more)
        if begun.get("failed"):
            return begun
        playing = [name for name in self.hosts if self.limit in (None, name)]
        for step in ("read", "listen", "ask", "probe", "stop") if packets else ("read",):
            playing = [name for name in playing if (step, name) not in leave]
            for host in playing[:1] if step == "ask" else playing:
                self.step(step, host, run=begun["run"], **(more if step == "read" else {}))
        return self.step(
            "report", playing[0], run=begun["run"], report=str(self.report), directory=str(self.report.parent), **more
        )


@pytest.fixture(name="play")
def fixture_play(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(constants, "INJECT_FACTS_AS_VARS", False)
    return Play(tmp_path)


def test_a_fleet_that_does_as_declared_is_proven(play):
    result = play.prove()
    assert result["failed"] is False and result["msg"].startswith("The isolation holds: all ")
    assert result["totals"]["allowed"] == 2 and set(result["totals"]) == {"allowed", "denied"}
    assert json.loads(play.report.read_text())["hosts"].keys() == {"a", "b", "o"}


def test_the_static_proof_is_read_in_the_same_trip_and_stands_in_the_report(play):
    result = play.prove(static=True)
    assert result["failed"] is False and "nothing else" in result["msg"], play.printed
    static = json.loads(play.report.read_text())["static"]
    assert static["holds"] and {"plant"} == {cell["to"] for cell in static["cells"]} and static["hosts"] == 2
    assert [host for host, module, _args in play.calls if module == READ] == ["a", "b"]


def test_before_the_probes_it_says_how_many_there_will_be_and_what_very_many_take(play, monkeypatch):
    play.prove()
    assert any(re.fullmatch(r"\d+ probes between 6 of 6 pairs of hosts", line) for line in play.printed), play.printed
    monkeypatch.setattr("ansible_collections.bulkhead.tiers.plugins.action.prove.MANY_PROBES", 10)
    begun = play.step("begin", seed="1")
    for step in ("read", "listen"):
        for host in play.hosts:
            play.step(step, host, run=begun["run"])
    (warning,) = play.step("ask", run=begun["run"])["warnings"]
    assert "million probes" in warning and "prove_packets=false" in warning


def test_the_rules_alone_prove_without_a_packet(play):
    result = play.prove(static=True, packets=False)
    content = json.loads(play.report.read_text())
    assert result["failed"] is False and "No packet was sent" in result["msg"] and "nothing else" in result["msg"]
    assert {module for _host, module, _args in play.calls} == {READ}
    assert (content["holds"], content["packets"], content["probes"]) == (True, False, [])
    assert content["static"]["holds"] and not any("probe" in line for line in play.printed)


def test_the_rules_alone_fail_where_a_host_has_others(play):
    play.rules["b"][0] = play.rules["b"][0].replace(":INPUT DROP", ":INPUT ACCEPT")
    result = play.prove(static=True, packets=False)
    assert result["failed"] is True and "not as declared" in result["msg"]
    assert ElementTree.parse(play.report.with_suffix(".xml")).findall(".//testsuite[@name='rules']//failure")


@pytest.mark.parametrize("lost", ["left", "failed", "lied"])
def test_the_rules_alone_fail_where_a_host_was_not_read(play, lost):
    if lost != "left":
        said = {"failed": True, "msg": "no Python"} if lost == "failed" else {"printed": None}
        play.lies["a"] = lambda module, args, honest: {**honest, **said}
    result = play.prove(static=True, packets=False, leave={("read", "a")} if lost == "left" else ())
    content = json.loads(play.report.read_text())
    assert result["failed"] is True and "Nothing is proven about a." in result["msg"]
    assert not content["holds"] and set(content["missing"]) == {"a"}


def test_neither_packets_nor_rules_prove_nothing(play):
    result = play.prove(static=False, packets=False)
    assert result["failed"] is True and "packets: got false, and static as well" in result["msg"] and not play.calls


def test_what_no_probe_asks_fails_the_proof_by_the_rules_alone(play):
    play.rules["b"][0] = play.rules["b"][0].replace(":INPUT DROP", ":INPUT ACCEPT")
    result = play.prove(static=True)
    assert result["failed"] is True and "not as declared" in result["msg"]
    assert any("open" in line and "-P INPUT ACCEPT" in line for line in play.printed)


def test_without_the_static_proof_less_is_read(play):
    play.prove()
    assert not any(args["netfilter"] for _host, module, args in play.calls if module == READ)


@pytest.mark.parametrize("lie", [{"printed": None}, {"printed": {"rules4": 3}}, {"speeds": [1]}, {"settings": "x"}])
def test_a_host_that_returns_no_rules_is_not_proven_by_them(play, lie):
    play.lies["a"] = lambda module, args, said: {**said, **lie} if module == READ else said
    result = play.prove(static=True)
    assert result["failed"] is True and "a" in result["msg"]


def test_in_check_mode_it_probes_and_writes_no_report(play):
    play.check_mode = True
    assert play.prove()["failed"] is False
    assert not play.report.exists() and any("was not written" in line for line in play.printed)


def test_nothing_of_a_host_becomes_a_result_of_a_task(play):
    """Ansible makes variables of what results hold."""

    def lie(module, args, said):
        facts = {"prove_report": "/etc/passwd", "bulkhead_flows": []}
        return {**said, "ansible_facts": facts, "add_host": {"host_name": "x"}, "add_group": "gateway", "_ansible_x": 1}

    play.lies["a"] = lie
    run = play.step("begin", seed="1")["run"]
    for step in ("read", "listen", "probe", "stop"):
        result = play.step(step, "a", run=run)
        assert not result.get("failed"), result
        assert set(result) <= {"changed", "rules", "addresses", "bound", "probes", "running", "invocation"}


def test_the_keys_of_listeners_reach_their_own_host_and_nothing_else(play):
    result = play.prove()
    assert len(set(play.keys.values())) == 3
    texts = [json.dumps(args) for _host, _module, args in play.calls if step_of(args) != "listen"]
    shown = "".join([*texts, *play.printed, json.dumps(result), play.report.read_text()])
    assert not any(key.hex() in shown for key in play.keys.values())
    for host, _module, args in play.calls:
        if step_of(args) == "listen":
            assert args["key"] == play.keys[host].hex() and args["token"] not in args["key"]


def test_the_host_that_stands_for_the_internet_needs_no_firewall(play):
    play.prove()
    assert [host for host, module, _args in play.calls if module == READ] == ["a", "b"]
    assert {host for host, module, _args in play.calls if module == LISTENER} == {"a", "b", "o"}
    assert {host for host, module, _args in play.calls if module == PROBE} == {"a", "b", "o"}


@pytest.mark.parametrize("step", ["read", "listen", "probe", "stop"])
def test_a_host_that_leaves_the_play_is_missed(play, step):
    result = play.prove(leave=[(step, "a")])
    assert result["failed"] is True
    content = json.loads(play.report.read_text())
    if step == "stop":
        assert any("listener was gone" in failure["cause"] for failure in content["failures"])
    else:
        assert "a" in content["missing"] or any("a" in failure["to"] for failure in content["failures"])


@pytest.mark.parametrize("step", ["read", "listen", "probe"])
@pytest.mark.parametrize(
    "said", [{"failed": True, "msg": "no\n  Python \x1b[2J"}, {"results": []}, {"addresses": 7}, {"running": "yes"}, []]
)
def test_a_host_whose_step_failed_or_answers_nonsense_is_named_with_the_reason(play, step, said):
    play.lies["a"] = lambda module, args, honest: said if step_of(args) == step else honest
    result = play.prove()
    content = json.loads(play.report.read_text())
    assert result["failed"] is True and result["msg"].isprintable()
    assert "a" in content["missing"] or content["totals"].get("inconclusive")
    if isinstance(said, dict) and said.get("failed"):
        assert content["missing"]["a"] == f"the step {step} failed: no Python \\x1b[2J"


def test_a_host_that_cannot_be_reached_is_named_with_the_reason(play):
    def gone(module, args, said):
        raise AnsibleConnectionFailure("no way\nto it")

    play.lies["a"] = gone
    run = play.step("begin", seed="1")["run"]
    with pytest.raises(AnsibleConnectionFailure):
        play.step("read", "a", run=run)
    result = play.step("report", "b", run=run, report=str(play.report), directory=str(play.report.parent))
    assert (
        result["failed"] and json.loads(play.report.read_text())["missing"]["a"] == "the step read failed: no way to it"
    )


@pytest.mark.parametrize("name", ["bulkhead_flows", "prove_report", "prove_addresses", "__prove_begun"])
@pytest.mark.parametrize("host", ["a", "b"])
def test_no_fact_of_a_host_governs_the_proof(play, name, host):
    play.facts[host] = {name: []}
    result = play.prove()
    assert result["failed"] is True
    content = result["msg"] if host == "a" else json.loads(play.report.read_text())["missing"]["b"]
    assert name in content and "facts of" in content


def test_the_groups_are_those_of_the_inventory_s_sources(play):
    """A host is put into the group that stands for the internet: its rules would not be looked at."""
    play.inventory.groups["outside"].add_host(play.inventory.get_host("b"))
    play.inventory.reconcile_inventory()
    result = play.prove()
    missing = json.loads(play.report.read_text())["missing"]
    assert result["failed"] is True and "its groups changed during this run" in missing["b"]


def test_a_host_that_was_added_during_the_run_is_not_vouched_for(play):
    play.inventory.add_host("x", group="plant")
    play.inventory.reconcile_inventory()
    play.hosts.append("x")
    play.lies["x"] = lambda module, args, said: said
    result = play.prove()
    missing = json.loads(play.report.read_text())["missing"]
    assert result["failed"] is True and "the inventory does not name it" in missing["x"]


def test_hosts_left_out_by_a_limit_make_the_verdict_partial(play):
    play.limit = "a"
    result = play.prove()
    assert "Partial: 2 hosts of the inventory left out by --limit a (b, o)" in result["msg"]
    assert result["failed"] is True and "nothing was probed" in result["msg"]


def test_a_host_in_no_tier_fails_the_proof(tmp_path, play):
    play = Play(tmp_path, f"{INVENTORY}[plnat]\nc\n")
    result = play.prove()
    missing = json.loads(play.report.read_text())["missing"]
    assert result["failed"] is True and "its groups: plnat" in missing["c"]


def test_an_inventory_without_a_host_of_the_site_proves_nothing(tmp_path, play):
    play = Play(tmp_path, "x\ny\n")
    result = play.prove()
    assert result["failed"] is True and "nothing was probed" in result["msg"]


def test_a_host_that_declares_another_site_is_not_vouched_for(play, monkeypatch):
    run = play.step("begin", seed="1")["run"]
    monkeypatch.setitem(SITE, "bulkhead_flows", [])
    result = play.step("listen", "b", run=run)
    assert result["failed"] is True and "one site for all hosts" in result["msg"]


@pytest.mark.parametrize("run", ["", "../x", "0" * 15])
def test_a_run_that_was_not_begun_is_refused(play, run):
    assert "expected what the step begin returned" in play.step("listen", "a", run=run)["msg"]


def test_a_declaration_with_problems_proves_nothing(play, monkeypatch):
    monkeypatch.setitem(SITE, "bulkhead_flows", [{"from": "plant", "to": "nowhere", "allow": "ssh"}])
    result = play.step("begin", seed="1")
    assert result["failed"] is True and result["msg"].startswith("Nothing is proven.\nbulkhead_flows[0].to: got")


def test_a_report_is_written_below_its_directory_alone(play, tmp_path):
    inside, outside = tmp_path / "reports", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    run = play.step("begin", seed="1")["run"]
    for path in ("/etc/passwd", tmp_path / "x.json", inside / "link" / "x.json", f"{inside}/../x.json"):
        for step, more in (("begin", {"seed": "1"}), ("report", {"run": run})):
            result = play.step(step, report=str(path), directory=str(inside), **more)
            assert result["failed"] and "expected a path below" in result["msg"]
    assert list(outside.iterdir()) == []
