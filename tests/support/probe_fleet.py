"""A fleet in the network namespaces of probe_network, and the playbook `prove` over it: the hosts' Python is tests/support/taken_python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import yaml
from probe_network import ROOT, run

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Place, declare
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import snapshot_of


def close(names="abr", program="iptables"):
    """Drop all that comes in at some hosts, and what the router would forward, but for answers and, in IPv6, what finds a
    neighbour."""
    neighbours = ["-A INPUT -p icmpv6 -j ACCEPT"] if program == "ip6tables" else []
    known = "-m state --state ESTABLISHED -j ACCEPT"
    for name in names:
        for rule in ("-P INPUT DROP", "-A INPUT -i lo -j ACCEPT", f"-A INPUT {known}", *neighbours):
            run(f"ip netns exec fp-{name} {program} {rule}")
    run(f"ip netns exec fp-r {program} -P FORWARD DROP")
    run(f"ip netns exec fp-r {program} -A FORWARD {known}")


def reopen(names="abr"):
    for program in ("iptables", "ip6tables"):
        for name in names:
            run(f"ip netns exec fp-{name} {program} -F; ip netns exec fp-{name} {program} -P INPUT ACCEPT")
        run(f"ip netns exec fp-r {program} -P FORWARD ACCEPT; ip netns exec fp-r {program} -t nat -F")


class Fleet:
    """site: the declaration; groups: {inventory group: hosts}; addresses: {host: its prove_addresses}."""

    def __init__(self, folder, site, groups, addresses):
        self.folder = folder
        self.report = folder / "proof.json"
        declaration = declare(site)
        hosts = {}
        for group, names in groups.items():
            for name in names:
                tiers = (group,) if group in site["bulkhead_tiers"] else ()
                plan = declaration.plan(name, Place(tiers, group == "gateway"))
                hosts[name] = self.place(name, snapshot_of(default=plan["default"], rules=plan["rules"]))
        for name, own in addresses.items():
            hosts[name]["prove_addresses"] = own
        self.inventory = {
            "all": {
                "vars": {"ansible_connection": "local", "ansible_become": False, "ansible_pipelining": True, **site},
                "children": {
                    group: {"hosts": {name: hosts[name] for name in names}} for group, names in groups.items()
                },
            }
        }

    def place(self, name, live):
        """The folder of a host with its Python; returns the host's variables."""
        folder = self.folder / name
        folder.mkdir()
        host = {"namespace": f"fp-{name}", "python": sys.executable, "live": live}
        (folder / "host.json").write_text(json.dumps(host))
        (folder / "python").symlink_to(ROOT / "tests" / "support" / "taken_python")
        return {"ansible_python_interpreter": str(folder / "python")}

    @staticmethod
    def let(rule):
        """Let a packet in at b, and through r."""
        run(f"ip netns exec fp-b iptables -A INPUT {rule}; ip netns exec fp-r iptables -A FORWARD {rule}")

    def take(self, name, code):
        """lie(module, said) of a host that was taken."""
        (self.folder / name / "lie.py").write_text(textwrap.dedent(code))

    def prove(self, *words):
        """The proof: its exit status, its output, and the report ({} if there is none)."""
        self.report.unlink(missing_ok=True)
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(self.inventory, sort_keys=False))
        # The rules of these hosts are not what their snapshots say: packets alone are the proof here.
        words = ["-i", str(self.folder / "hosts.yml"), "-e", "prove_timeout=1", "-e", "prove_static=false", *words]
        if not any(word.startswith("prove_report") for word in words):
            self.inventory["all"]["vars"]["prove_report"] = str(self.report)
            self.inventory["all"]["vars"]["prove_report_directory"] = str(self.report.parent)
            (self.folder / "hosts.yml").write_text(yaml.safe_dump(self.inventory, sort_keys=False))
        done = subprocess.run(
            [shutil.which("ansible-playbook"), "playbooks/prove.yml", *words],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        report = json.loads(self.report.read_text()) if self.report.exists() else {}
        return SimpleNamespace(status=done.returncode, output=done.stdout, report=report)
