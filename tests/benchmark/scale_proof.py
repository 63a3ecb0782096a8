# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a proof of a fleet makes of what its hosts have said, for scale.py, which measures it: no host is there.

scale_proof.py rules SITE.json HOSTS       every host has been read: are its rules what the site declares?
scale_proof.py packets SITE.json HOSTS     every host listens: who probes what? (there are no results to judge)
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from static_proof import answers, compile_all

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Address, Hears, Listening
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Declaration, declare
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.claims import Named, claims_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.fleet import Fleet, Listener
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import ports_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.live import Live
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Record, Run, Step
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.run import static_proof


def rules(declaration: Declaration, run: Run, said: dict[str, Any]) -> str:
    for name, one in said.items():
        run.keep(Step.NETFILTER, name, {**one, "review": {}})
    static = static_proof(run, declaration)
    assert static.holds and static.hosts == len(said), "the rules are not as declared"
    return f"{static.hosts} hosts of {static.groups} kinds, {len(static.cells)} cells"


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
        claims = claims_of(site, member, listening, Named())
        fleet.keep_listener(name, Listener(listening, claims, (), asked[member.place], fleet.kind(member)))
    fleet.ask_all()
    choice = fleet.choice
    return f"{len(choice.whole) + len(choice.few)} pairs of {choice.total}"


def main() -> None:
    what, path, hosts = sys.argv[1:]
    declaration = declare(json.loads(Path(path).read_text(encoding="utf-8")))
    members, said = answers(declaration.site, int(hosts), compile_all(declaration.site))
    with tempfile.TemporaryDirectory(prefix="bulkhead-scale-") as folder:
        run = Run.begin(folder, Record("1", "outside", time.time(), declaration.key, "", members, (), {}))
        print({"rules": rules, "packets": packets}[what](declaration, run, said))


if __name__ == "__main__":
    main()
