# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of a proof: each runs a module on its host, with what the site and the other hosts ask for, and keeps what it
said on the controller; see modules/prove.py.

Nothing that a host returns becomes a result of the task: Ansible makes variables out of results.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Optional

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change.record import note_proof, verdict_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import (
    GATEWAY_GROUP,
    Declaration,
    read,
    value_of,
    warnings_of_settings,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.inform import configuration
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.paths import report_path
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.arguments import mistakes
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.claims import (
    Named,
    claims_of,
    known_networks,
    tailnet_networks,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.containers import (
    networks_of,
    parse_heard,
    parse_vantages,
    ports_inside,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.coverage import Coverage
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.firewall import Firewall, read_firewall
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.fleet import Fleet, Listener, match
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.inventory import groups_of_sources
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import ports_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.live import Live
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part, changed, members_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import (
    Malformed,
    parse_listening,
    parse_stopped,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.report import (
    report_lines,
    summary,
    totals,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Record, Run, Step
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.tailnet import Live as LiveNode
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.files import site_name, write_proof
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.formats import FORMATS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.sliced import refuse_slice
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.run import read_host, static_proof
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.text import static_lines, static_summary
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count

PROBE, LISTENER = "bulkhead.tiers.flow_probe", "bulkhead.tiers.flow_listen"
CONTAINERS = "bulkhead.tiers.flow_containers"
READ = "bulkhead.tiers.ufw_ruleset_info"
NODE = "bulkhead.tiers.tailscale_node_info"
#: From how many probes on a proof says what it will take, and how many bytes of memory for each: as measured by tests/benchmark/scale.py --packets.
MANY_PROBES, PROBE_BYTES = 1_000_000, 3500
#: What the inventory has a node use.
EXIT_NODE = "tailnet_use_exit_node"

ARGUMENTS = {
    "step": {"type": "str", "choices": ["begin", "read", "listen", "ask", "probe", "stop", "report"], "required": True},
    "run": {"type": "str"},
    "seed": {"type": "str"},
    "outside": {"type": "str", "default": "outside"},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "ttl": {"type": "int", "default": 300},
    "timeout": {"type": "float", "default": 3.2},
    "report": {"type": "path"},
    "formats": {"type": "list", "elements": "str", "choices": list(FORMATS), "default": list(FORMATS)},
    "directory": {"type": "path", "default": "reports"},
    "static": {"type": "bool", "default": False},
    "packets": {"type": "bool", "default": True},
    "coverage": {"type": "str", "choices": [one.value for one in Coverage], "default": Coverage.CLASSES.value},
}
REQUIRED = [
    ("step", "begin", ["seed"]),
    *(("step", step, ["run"]) for step in ("read", "listen", "ask", "probe", "stop", "report")),
    ("step", "report", ["report"]),
]


class StepFailed(Exception):
    """A module failed on the host, or returned what no such module returns; the text is printable."""


class ActionModule(ActionBase):
    """One step of a proof on one host; its beginning and its report are made on the controller."""

    _requires_connection = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _dummy, options = self.validate_argument_spec(argument_spec=ARGUMENTS, required_if=REQUIRED)
        try:
            if options["step"] == "begin":
                result.update(self._begin(read(variables, self._templar), options, variables))
            elif options["step"] == "ask":
                result.update(self._ask(self._fleet(read(variables, self._templar), options)))
            elif options["step"] == "report":
                result.update(self._report(read(variables, self._templar), options, site_name(variables)))
            else:
                result.update(self._of_a_host(options, variables))
        except Refused as error:
            result.update(failed=True, msg=f"Nothing is proven.\n{error}")
        return result

    # On the controller

    def _begin(
        self, declaration: Declaration, options: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Settle what the proof is about, before the first packet."""
        refuse_slice(task_vars, "what is said of a whole fleet")
        if not (options["packets"] or options["static"]):
            wrong = Mistake(
                "packets", "false, and static as well", "one of them", "prove by packets, by the rules, or by both"
            )
            raise Refused([wrong])
        if options["report"]:
            report_path(options["report"], options["directory"])  # better refused now than after all probes
        groups = groups_of_sources(task_vars["hostvars"])
        outside = options["outside"]
        members = members_of(groups, declaration.places(groups), outside)
        in_play = set(task_vars["ansible_play_hosts_all"])
        trouble = changed(groups, task_vars["groups"], (*declaration.outline.tiers, GATEWAY_GROUP, outside))
        record = Record(
            seed=options["seed"],
            outside=outside,
            began=time.time(),
            declaration=declaration.key,
            limit=printable(task_vars.get("ansible_limit") or ""),
            members=members,
            left_out=tuple(name for name in members if name not in in_play),
            trouble={name: why for name, why in trouble.items() if name in in_play},
            coverage=options["coverage"],
        )
        run = Run.begin(str(constants.DEFAULT_LOCAL_TMP), record)
        Fleet(run, declaration.site, record).share_out()
        warnings = [*declaration.outline.warnings, *warnings_of_settings()]
        return {"changed": False, "run": run.id, **({"warnings": warnings} if warnings else {})}

    def _ask(self, fleet: Fleet) -> dict[str, Any]:
        """Settle who probes what."""
        probes, choice = fleet.ask_all(), fleet.choice
        pairs = f"{len(choice.whole) + len(choice.few):,} of {count(choice.total, 'pair')} of hosts"
        self._display.display(f"{count(probes, 'probe')} between {pairs}")
        if probes <= MANY_PROBES:
            return {"changed": False}
        cost = f"{probes / 1e6:.1f} million probes: judging them takes about {probes * PROBE_BYTES / (1 << 30):.0f} GiB of memory here"
        return {
            "changed": False,
            "warnings": [f"{cost}; prove in parts (--limit), or by the rules alone (-e prove_packets=false)"],
        }

    def _report(self, declaration: Declaration, options: Mapping[str, Any], name: str) -> dict[str, Any]:
        path = report_path(options["report"], options["directory"])
        fleet = self._fleet(declaration, options)

        def compiled(member: Member) -> Firewall:
            plan = declaration.plan(member.name, member.place)
            return read_firewall(True, plan["default"], plan["rules"], plan["docker"])

        def node(member: Member) -> Optional[Mapping[str, Any]]:
            plan: Optional[Mapping[str, Any]] = declaration.plan(member.name, member.place)["tailnet"]
            return plan

        seconds = time.time() - fleet.record.began
        packets = options["packets"]
        proof = fleet.proof(compiled, seconds, node) if packets else fleet.proof_without_packets(seconds)
        for line, color in report_lines(proof):
            self._display.display(line, color=color)
        static = static_proof(fleet.run, declaration) if options["static"] else None
        for line, color in static_lines(static) if static else ():
            self._display.display(line, color=color)
        result = {"changed": False, "failed": not proof.holds, "msg": summary(proof), "totals": totals(proof)}
        if static is not None:
            result.update(failed=not (proof.holds and static.holds), msg=f"{summary(proof)}\n{static_summary(static)}")
        if self._task.check_mode:
            was = "the probes were real" if packets else "the hosts were read"
            self._display.display(f"Check mode: {was}; the report {options['report']} was not written.")
        else:
            written = write_proof(path, proof, name, options["formats"], static)
            result.update(report=written["json"], reports=written)
            self._display.display(f"The report: {written.get('html', written['json'])}")
            self._note(os.path.join(options["directory"], "changes"), written["json"])
        return result

    def _note(self, directory: str, report: str) -> None:
        """The record of the last change gets the proof that was made after it."""
        verdict = verdict_of(report)
        noted = note_proof(directory, verdict) if verdict else None
        if noted:
            self._display.display(f"Noted in the record of the last change: {noted}")

    @staticmethod
    def _opened(options: Mapping[str, Any]) -> Run:
        return Run.opened(str(constants.DEFAULT_LOCAL_TMP), options["run"])

    def _fleet(self, declaration: Declaration, options: Mapping[str, Any]) -> Fleet:
        """All hosts of the proof."""
        run = self._opened(options)
        record = run.record
        return Fleet(run, self._the_same(declaration, record).site, record)

    def _the_same(self, declaration: Declaration, record: Record) -> Declaration:
        """The declaration, which is the one that the proof began with."""
        if declaration.key == record.declaration:
            return declaration
        raise Refused(
            [
                Mistake(
                    "bulkhead_*",
                    "other values than the host has that began the proof",
                    "one site for all hosts",
                    "declare the site in group_vars/all",
                )
            ]
        )

    # On a host

    def _of_a_host(self, options: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        run, name = self._opened(options), str(task_vars["inventory_hostname"])
        own = run.kept(Step.OWN, name)
        if own is None:
            return {
                "changed": False,
                "skipped": True,
                "skip_reason": "the host is no part of the proof; the report says why",
            }
        record = Record.from_dict(own)
        member = record.members[name]
        if options["step"] == "read" and member.part is Part.INTERNET:
            return {"changed": False, "skipped": True, "skip_reason": "the host stands for the internet"}
        try:
            fleet = Fleet(run, self._the_same(read(task_vars, self._templar), record).site, record)
            return {"changed": False, **getattr(self, f"_{options['step']}")(fleet, member, options, task_vars)}
        except (StepFailed, Refused, Malformed) as error:
            said = " ".join(str(error).split())
            self._keep_trouble(run, name, options["step"], said)
            return {"failed": True, "msg": said}
        except AnsibleError as error:  # not reachable
            self._keep_trouble(run, name, options["step"], str(error))
            raise

    @staticmethod
    def _keep_trouble(run: Run, name: str, step: str, why: str) -> None:
        """The first step that failed says why a host is out of the proof."""
        if run.kept(Step.TROUBLE, name) is None:
            run.keep(Step.TROUBLE, name, f"the step {step} failed: {printable(' '.join(why.split()))}")

    def _module(self, module: str, task_vars: Mapping[str, Any], **arguments: Any) -> Mapping[str, Any]:
        """What a module returned. Raises StepFailed, Malformed, and Refused for arguments that flow_probe cannot do anything with."""
        wrong = list(mistakes(arguments)) if module in (PROBE, LISTENER) else []
        if wrong:
            raise Refused(wrong)
        said = self._execute_module(module_name=module, task_vars=task_vars, module_args=arguments)
        if not isinstance(said, Mapping):
            raise Malformed(f"{module}: it returned no mapping")
        if said.get("failed") or said.get("unreachable"):
            raise StepFailed(printable(" ".join(str(said.get("msg", "it gave no reason")).split())))
        return said

    def _read(
        self, fleet: Fleet, member: Member, options: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> dict[str, Any]:
        said = self._module(
            READ, task_vars, depth="kernel" if options["static"] else "rules", netfilter=options["static"]
        )
        try:
            live = Live.from_dict(configuration(said.get("snapshot")))
        except RulesetError as error:
            raise Malformed(printable(error)) from error
        fleet.keep_live(member.name, live)
        if options["static"]:
            fleet.run.keep(Step.NETFILTER, member.name, read_host(member.name, said))
        if options["packets"] and tailnet_networks(fleet.site, member):
            node = LiveNode.from_dict(self._module(NODE, task_vars, peers=False))
            # The inventory's to say, and not the host's.
            uses = value_of(EXIT_NODE, task_vars, self._templar) if EXIT_NODE in task_vars else ""
            node = node._replace(uses=printable(uses or "", 200))
            fleet.run.keep(Step.NODE, member.name, node.to_dict())
        return {"rules": len(live.rules)}

    def _listen(
        self, fleet: Fleet, member: Member, options: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> dict[str, Any]:
        ports = ports_of(fleet.site, fleet.rules_for(member.name), fleet.record.seed)
        named = Named.read(fleet.site, member.name, options["addresses"], task_vars.get("ansible_host"))
        said = self._module(
            LISTENER,
            task_vars,
            token=fleet.run.id,
            name=member.name,
            key=fleet.run.key_of(member.name).hex(),
            ttl=options["ttl"],
            addresses=[*known_networks(fleet.site, member, named), *tailnet_networks(fleet.site, member)],
            listen=[{"proto": proto, "port": port} for proto, port in sorted(ports)],
        )
        listening = parse_listening(said)
        claims = claims_of(fleet.site, member, listening, named)
        fleet.keep_listener(member.name, Listener(listening, claims, named.texts, ports, fleet.kind(member)))
        self._listen_inside(fleet, member, options, task_vars)
        return {"addresses": [leg.address for leg in claims.legs], "bound": listening.bound}

    def _listen_inside(
        self, fleet: Fleet, member: Member, options: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> None:
        """Listen in the host's containers of declared networks. What goes wrong there is no trouble of the host."""
        networks = networks_of(fleet.site, member.tiers)
        if not networks:
            return
        try:
            said = self._module(
                CONTAINERS,
                task_vars,
                mode="listen",
                token=fleet.run.id,
                name=member.name,
                key=fleet.run.key_of(member.name).hex(),
                ttl=options["ttl"],
                networks=networks,
                listen=[{"proto": proto, "port": port} for proto, port in ports_inside(fleet.site, fleet.record.seed)],
            )
            vantages, wrong = parse_vantages(fleet.site, member.name, said, networks)
        except (StepFailed, Malformed) as error:
            fleet.run.keep(Step.CONTAINERS, member.name, {"trouble": printable(" ".join(str(error).split()))})
            return
        kept = {"containers": [one.to_dict() for one in vantages], "more": 0}
        fleet.run.keep(Step.CONTAINERS, member.name, {"trouble": "; ".join(wrong)} if wrong else kept)

    def _probe(
        self, fleet: Fleet, member: Member, options: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> dict[str, Any]:
        asked = fleet.asked(member.name)
        jobs = [Job.from_dict(job) for job in asked["jobs"]]
        controls = fleet.controls(member.name, asked["number"])
        said = self._module(
            PROBE,
            task_vars,
            mode="probe",
            token=fleet.run.id,
            jobs=[*(job.to_dict() for job in controls), *asked["jobs"]],
            timeout=options["timeout"],
        )
        probes = match(jobs, said.get("results"), fleet.run.key_of, fleet.run.id, controls)
        fleet.run.keep(Step.PROBED, member.name, probes.to_dict())
        if asked["inside"]:
            self._probe_inside(fleet, member, asked, options, task_vars)
        return {"probes": len(jobs)}

    def _probe_inside(
        self,
        fleet: Fleet,
        member: Member,
        asked: Mapping[str, Any],
        options: Mapping[str, Any],
        task_vars: Mapping[str, Any],
    ) -> None:
        """Probe from the host's containers."""
        jobs = [{"inside": vantage, **job} for vantage, job in asked["inside"]]
        try:
            said = self._module(
                CONTAINERS, task_vars, mode="probe", token=fleet.run.id, jobs=jobs, timeout=options["timeout"]
            )
            results = said.get("results")
        except StepFailed:
            results = []  # each probe then has no result, and proves nothing
        probes = match(
            [Job.from_dict(job) for _vantage, job in asked["inside"]],
            results,
            lambda name: fleet.run.key_of(asked["owners"].get(name, name)),
            fleet.run.id,
        )
        fleet.run.keep(Step.CONTAINERS_PROBED, member.name, probes.to_dict())

    def _stop(
        self, fleet: Fleet, member: Member, options: Mapping[str, Any], task_vars: Mapping[str, Any]
    ) -> dict[str, Any]:
        peers = fleet.asked(member.name)["peers"]
        said = self._module(PROBE, task_vars, mode="stop", token=fleet.run.id, peers=peers)
        stopped = parse_stopped(said)
        fleet.run.keep(Step.STOPPED, member.name, stopped.to_dict())
        heard = {one: found.to_dict() for one, found in parse_heard(said).items()}
        if heard:
            fleet.run.keep(Step.CONTAINERS_HEARD, member.name, heard)
        return {"running": stopped.running}
