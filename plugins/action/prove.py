# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of a proof: each runs flow_probe on its host with what the site and the other hosts ask for; see
modules/prove.py."""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.action.site import ActionModule as SiteAction
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import (
    GATEWAY,
    INTERNET,
    jobs_from,
    legs_of,
    ports_of,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import Host, Judge
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.report import (
    Proof,
    report_json,
    report_lines,
    summary,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.rules import read_firewall
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy

MODULE = "bulkhead.tiers.flow_probe"
GATEWAY_GROUP = "gateway"
# Where the role's tasks register what the other steps need, on every host.
LIVE, LISTENING, PROBED, STOPPED = "__prove_live", "__prove_listening", "__prove_probed", "__prove_stopped"

ARGUMENTS = {
    "step": {"type": "str", "choices": ["listen", "probe", "stop", "report"], "required": True},
    "seed": {"type": "str", "required": True},
    "outside": {"type": "str", "default": "outside"},
    "ttl": {"type": "int", "default": 120},
    "timeout": {"type": "float", "default": 3.2},
    "began": {"type": "float"},
    "report": {"type": "path"},
}


class Fleet:
    """What is known so far of the hosts of the play, taken raw: thousands of results are data, not templates."""

    def __init__(self, task_vars, outside, declared):
        self._declared, self._places = declared, declared.places(task_vars["groups"])
        self.names = list(task_vars["ansible_play_hosts_all"])
        self.outside = outside
        self.vars = {name: task_vars["hostvars"].raw_get(name) for name in self.names}

    def part(self, name):
        """gateway, internet or tier; "" for a host that is no part of the proof."""
        groups = self.vars[name].get("group_names") or ()
        if GATEWAY_GROUP in groups:
            return GATEWAY
        if self.outside in groups:
            return INTERNET
        return "tier" if self.planned(name).get("tiers") else ""

    def planned(self, name):
        """What the site says of a host, by the inventory."""
        return self._declared.plan(name, self._places[name]) if name in self._places else {}

    def said(self, name, step):
        """The result of one step on a host; {} if there is none."""
        result = self.vars[name].get(step) or {}
        return {} if result.get("failed") or result.get("skipped") or result.get("unreachable") else result

    def legs(self, site):
        """The Legs of all hosts that listen."""
        found = []
        for name in self.names:
            part = self.part(name)
            addresses = self.said(name, LISTENING).get("addresses", ())
            if part:
                found += legs_of(name, addresses, site, part if part in (GATEWAY, INTERNET) else None)
        return found

    def services(self, name):
        """{(proto, address, port): process} of what listened on a host before."""
        return {_key(found): found["process"] for found in self.said(name, LISTENING).get("services", ())}

    def why(self, name):
        """{(proto, port): why it is probed}."""
        return {(proto, port): why for proto, port, why in self.said(name, LISTENING).get("ports", ())}


class ActionModule(SiteAction):
    """One step of a proof on one host; the report is made on the controller."""

    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        result = ActionBase.run(self, tmp, task_vars)
        _dummy, options = self.validate_argument_spec(
            argument_spec=ARGUMENTS, required_if=[("step", "report", ["began", "report"])]
        )
        try:
            declared = declaration.read(task_vars, self._templar)
            site = declared.site
        except Refused as error:
            result.update(failed=True, msg="The site's declaration has problems; nothing was probed.\n%s" % error)
            return result
        fleet = Fleet(task_vars, options["outside"], declared)
        if options["step"] != "report" and not fleet.part(task_vars["inventory_hostname"]):
            result.update(skipped=True, skip_reason="the host is in no tier, no gateway and not outside")
            return result
        result.update(getattr(self, "_" + options["step"])(site, fleet, options, task_vars))
        return result

    def _flow_probe(self, task_vars, mode, options, **arguments):
        said = self._execute_module(
            module_name=MODULE, task_vars=task_vars, module_args=dict(arguments, mode=mode, token=options["seed"])
        )
        said.pop("invocation", None)  # thousands of jobs, once more
        return said

    def _listen(self, site, fleet, options, task_vars):
        name = task_vars["inventory_hostname"]
        part = fleet.part(name)
        rules = [
            rule
            for other in fleet.names
            if other == name or fleet.part(other) == GATEWAY
            for rule in fleet.said(other, LIVE).get("rules", ())
        ]
        ports = ports_of(site, rules, options["seed"])
        subnets = [
            str(net)
            for tier in fleet.planned(name).get("tiers", ())
            for net in site.tiers[tier].subnets
            if net.version == 4
        ]
        said = self._flow_probe(
            task_vars,
            "listen",
            options,
            name=name,
            ttl=options["ttl"],
            addresses=["0.0.0.0/0"] if part in (GATEWAY, INTERNET) else subnets,
            listen=[{"proto": proto, "port": port} for proto, port in ports],
        )
        said["ports"] = [[proto, port, why] for (proto, port), why in sorted(ports.items())]
        return said

    def _probe(self, site, fleet, options, task_vars):
        legs = fleet.legs(site)
        hosts = {leg.host for leg in legs}
        jobs = jobs_from(
            task_vars["inventory_hostname"],
            legs,
            {host: fleet.why(host) for host in hosts},
            {host: fleet.services(host) for host in hosts},
        )
        said = self._flow_probe(task_vars, "probe", options, jobs=jobs, timeout=options["timeout"])
        said["jobs"] = jobs
        return said

    def _stop(self, site, fleet, options, task_vars):
        return self._flow_probe(task_vars, "stop", options, peers=[leg.address for leg in fleet.legs(site)])

    def _report(self, site, fleet, options, task_vars):
        proof = make_proof(site, fleet, options["seed"], time.time() - options["began"])
        for line, color in report_lines(proof):
            self._display.display(line, color=color)
        result = {"changed": False, "failed": not proof.holds, "msg": summary(proof), "totals": dict(proof.count)}
        if self._task.check_mode:
            self._display.display(
                "Check mode: the probes were real; the report %s was not written." % options["report"]
            )
        else:
            result["report"] = write_report(options["report"], report_json(proof))
            self._display.display("Every probe: %s" % result["report"])
        return result


def make_proof(site, fleet, seed, seconds):
    """Judge what all hosts found."""
    hosts, missing = {}, {}
    legs = fleet.legs(site)
    for name in filter(fleet.part, fleet.names):
        own = tuple(leg for leg in legs if leg.host == name)
        if not own and fleet.said(name, LISTENING):
            missing[name] = "it has no address in its tier"
        elif not own or not fleet.said(name, PROBED):
            missing[name] = _why_missing(fleet.vars[name])
        if own:
            hosts[name] = _host(fleet, name, own)
    probed = [
        (job, result)
        for name in hosts
        for job, result in zip(fleet.said(name, PROBED).get("jobs", ()), fleet.said(name, PROBED).get("results", ()))
    ]
    verdicts = Judge(Policy(site), hosts).judge(probed)
    return Proof(site, hosts, verdicts, {name: fleet.why(name) for name in hosts}, missing, seed, seconds)


def _host(fleet, name, legs):
    listening, stopped, planned = fleet.said(name, LISTENING), fleet.said(name, STOPPED), fleet.planned(name)
    live = fleet.said(name, LIVE)
    firewalled = fleet.part(name) != INTERNET
    return Host(
        name=name,
        legs=legs,
        live=read_firewall(live.get("active"), live.get("default"), live.get("rules", ()), live.get("docker"))
        if firewalled and live
        else None,
        compiled=read_firewall(True, planned.get("default"), planned.get("rules", ()), planned.get("docker"))
        if firewalled
        else None,
        running=bool(stopped.get("running")),
        hears=bool(listening.get("hears", {}).get("wire")),
        lost=stopped.get("lost", 0),
        failed={_key(lost): lost["error"] for lost in listening.get("failed", ())},
        services=fleet.services(name),
        **{where: _flows(stopped.get(where, {})) for where in ("passed", "arrived", "left")},
    )


def _key(found):
    return found["proto"], found["address"], found["port"]


def _flows(heard):
    return {tuple(key.split()): frozenset(ports) for key, ports in heard.items()}


def _why_missing(variables):
    """The first step that failed on a host, in its own words."""
    for step in (LIVE, LISTENING, PROBED):
        result = variables.get(step)
        if not result or result.get("skipped"):
            continue
        if result.get("failed") or result.get("unreachable"):
            return " ".join(str(result.get("msg", "a step failed")).split())
    return "it was not reached"


def write_report(path, content):
    """Write JSON whole or not at all; returns the absolute path."""
    path = os.path.abspath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = "%s.%d" % (path, os.getpid())
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
        file.write("\n")
    os.replace(partial, path)
    return path
