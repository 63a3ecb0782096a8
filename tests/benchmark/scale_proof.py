# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a proof of a fleet makes of what its hosts have said, for scale.py, which measures it: no host is there.

scale_proof.py rules SITE.json HOSTS       every host has been read: are its rules what the site declares?
scale_proof.py packets SITE.json HOSTS     every host listens: who probes what? (there are no results to judge)
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from static_proof import answers, compile_all

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import (
    Address,
    Heard,
    Hears,
    Listening,
    Stopped,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Declaration, declare
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.claims import Named, claims_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.firewall import Firewall, read_firewall
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.fleet import Fleet, Listener, Probes
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import ports_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.live import Live
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.report import summary
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Record, Run, Step
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.files import write_proof
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.formats import FORMATS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.run import static_proof


def rules(declaration: Declaration, run: Run, said: dict[str, Any]) -> str:
    for name, one in said.items():
        run.keep(Step.NETFILTER, name, {**one, "review": {}})
    began = time.process_time()
    static = static_proof(run, declaration)
    seconds = time.process_time() - began
    assert static.holds and static.hosts == len(said), "the rules are not as declared"
    return f"{static.hosts} hosts of {static.groups} kinds, {len(static.cells)} cells: {seconds:.1f} s without making up what they say"


def packets(declaration: Declaration, run: Run, said: dict[str, Any]) -> str:
    site, fleet = declaration.site, Fleet(run, declaration.site)
    asked = {}
    for name, member in fleet.members.items():
        plan = declaration.plan(name, member.place)
        fleet.keep_live(name, Live(True, plan["default"], tuple(plan["rules"]), plan["docker"]))
        if member.place not in asked:
            asked[member.place] = ports_of(site, plan["rules"], fleet.record.seed)
        links = json.loads(said[name]["printed"]["addresses"][1])
        own = tuple(
            Address(one["local"], one["prefixlen"], link["ifname"], False)
            for link in links
            for one in link["addr_info"]
            if link["ifname"] != "lo"
        )
        listening = Listening(own, hears=Hears(True, True))
        # A router has more legs than are probed of a host that the inventory names none of.
        named = Named(tuple(ip_interface(f"{one.address}/{one.prefix}") for one in own) if member.gateway else ())
        claims = claims_of(site, member, listening, named)
        fleet.keep_listener(name, Listener(listening, claims, named.texts, asked[member.place], fleet.kind(member)))
    probes = fleet.ask_all()
    choice = fleet.choice
    return f"{probes} probes, {len(choice.whole) + len(choice.few)} pairs of {choice.total}"


def judge(declaration: Declaration, run: Run, said: dict[str, Any]) -> str:
    packets(declaration, run, said)
    answer_all(Fleet(run, declaration.site))

    def compiled(member: Member) -> Firewall:
        plan = declaration.plan(member.name, member.place)
        return read_firewall(True, plan["default"], plan["rules"], plan["docker"])

    before = memory()
    proof = Fleet(run, declaration.site).proof(compiled, 1.0)
    assert proof.holds, summary(proof)
    with tempfile.TemporaryDirectory(prefix="bulkhead-scale-") as folder:
        write_proof(f"{folder}/proof.json", proof, "benchmark", list(FORMATS))
    probes = len(proof.verdicts)
    return f"{probes} probes, {(memory() - before) / probes:.0f} bytes for each"


def memory() -> int:
    """The most that this process has had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def answer_all(fleet: Fleet) -> None:
    """Every probe finds what the site declares, and every packet is seen to arrive."""
    heard: dict[str, dict[tuple[str, str, str], set[int]]] = {name: {} for name in fleet.members}
    for name in fleet.members:
        jobs = [Job.from_dict(job) for job in fleet.asked(name)["jobs"]]
        for job in jobs:
            heard[job.host or ""].setdefault((job.source or "", job.dest, job.proto), set()).add(job.port)
        pairs = tuple((job, found(job, job.again)) for job in jobs)
        controls = tuple((job, found(job, True)) for job in fleet.controls(name))
        fleet.run.keep(Step.PROBED, name, Probes(pairs, controls).to_dict())
    for name, flows in heard.items():
        arrived = tuple(Heard(*flow, tuple(sorted(ports))) for flow, ports in flows.items())
        fleet.run.keep(Step.STOPPED, name, Stopped(True, 0, 0, (), arrived).to_dict())


def found(job: Job, answered: bool) -> Result:
    return Result(job.id, Verdict.ALLOWED if answered else Verdict.DROPPED, mac="00" * 16 if answered else None)


def main() -> None:
    what, path, hosts = sys.argv[1:]
    declaration = declare(json.loads(Path(path).read_text(encoding="utf-8")))
    members, said = answers(declaration.site, int(hosts), compile_all(declaration.site))
    with tempfile.TemporaryDirectory(prefix="bulkhead-scale-") as folder:
        run = Run.begin(folder, Record("1", "outside", time.time(), declaration.key, "", members, (), {}))
        print({"rules": rules, "packets": packets, "judge": judge}[what](declaration, run, said))


if __name__ == "__main__":
    main()
