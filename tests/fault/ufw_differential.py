# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Random rule lists, applied by ufw itself on one host and by ufw_ruleset on another: files and kernel must agree.

    .venv/bin/python tests/fault/ufw_differential.py [--count 1000] [--release trixie] [UFW_HOST MODULE_HOST]

PYTHONPATH is .venv/collections. Without names it makes its own hosts, two of each release, and removes them again. Named
hosts are containers of one release with ufw; THEIR RULES ARE REPLACED. Most lists go through ufw's own library in one
process, because its command takes about half a second a rule; every list that --commands picks goes through the real
command, one call a rule, and a reload.

For each list it is checked that user.rules, user6.rules, iptables-save and ip6tables-save are the same line for line,
that a second run of the module changes nothing, and that what ufw_ruleset_info exports changes nothing when applied.
Exit status 0 when all agree; otherwise the first differences are printed with the seed that makes them again.
"""

from __future__ import annotations

import argparse
import configparser
import difflib
import json
import random
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from hosts import RELEASES, ROOT, fleet

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import Profile, make_profile

FOLDER = "/root/bulkhead-differential"
PLUGINS = "ansible_collections/bulkhead/tiers/plugins"

# Runs on the ufw host: reads one job a line, does it with ufw's own library, answers one line.
UFW_WORKER = r"""
import gettext, json, os, sys
gettext.install("ufw")
sys.argv[0] = "/usr/sbin/ufw"  # ufw checks who may write its own program
import ufw.common, ufw.frontend, ufw.util, warnings
warnings.showwarning = lambda *a, **k: None
out, sys.stdout = sys.stdout, sys.stderr
ufw.util.msg = lambda *a, **k: None
for line in sys.stdin:
    job = json.loads(line)
    ui = ufw.frontend.UFWFrontend(False)
    backend = ui.backend
    backend.rules, backend.rules6 = [], []
    backend._write_rules(False), backend._write_rules(True)
    enabled, backend.is_enabled = backend.is_enabled, lambda: False
    for argv in job:
        parsed = ufw.frontend.parse_command(["ufw"] + argv)
        ui.do_action(parsed.action, parsed.data["rule"], parsed.data["iptype"])
    backend.is_enabled = enabled
    backend._reload_user_rules()
    backend.update_logging(backend.defaults["loglevel"])
    print("{}", file=out, flush=True)
"""

# Runs on the module host: the module's own code without Ansible around it.
MODULE_WORKER = (
    r"""
import json, sys
sys.path.insert(0, "%s")
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.snapshot import take_snapshot
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.inform import inform
for line in sys.stdin:
    params = json.loads(line)
    first, second = converge(Host(), params, False), converge(Host(), params, False)
    exported = inform(lambda depth: take_snapshot(Host(), depth))
    again = converge(Host(), dict(params, rules=exported["rules"], purge=True), True)
    print(json.dumps({"changed": first["changed"], "second": second["changed"] and second["diff"],
                      "export": again["changed"] and again["diff"], "drift": exported["drift"]}), flush=True)
"""
    % FOLDER
)

DUMP = (
    "cat /etc/ufw/user.rules /etc/ufw/user6.rules; "
    "for c in iptables-save ip6tables-save; do $c -t filter | grep -v '^[#:]'; done"
)


class Remote:
    """A host that is reached by a command such as `docker exec -i NAME`."""

    def __init__(self, shell: str, name: str) -> None:
        self.name = name
        self.argv = [word.replace("{host}", name) for word in shlex.split(shell)]

    def run(self, script: str, stdin: bytes = b"") -> str:
        """Run a shell script; its output; ends the program where it fails."""
        done = subprocess.run([*self.argv, "sh", "-c", script], input=stdin, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit("%s: `%s` failed: %s" % (self.argv, script, done.stderr.decode()))
        return done.stdout.decode("utf-8", "replace")


class Worker:
    """A Python program on a host that answers one line of JSON for each line of JSON."""

    def __init__(self, host: Remote, program: str) -> None:
        # Not our own stderr: ufw and ip6tables warn at length about rules that are in order.
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the worker runs)
        self.process = subprocess.Popen(
            [*host.argv, "python3", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors
        )
        self.job: object = None

    def end(self) -> None:
        """No more jobs."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def give(self, job: object) -> None:
        """Give the worker one job."""
        self.job = job
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> dict:
        """Wait for what the worker says to its job."""
        answer = self.process.stdout.readline()
        if not answer:
            self.errors.seek(0)
            errors = self.errors.read().decode()[-4000:]
            raise SystemExit("%s\na worker died on %s" % (errors, json.dumps(self.job)))
        return json.loads(answer)


# -- random rules ----------------------------------------------------------------------------------------------------

COMMENTS = ("ssh", "größer als 5", "администрация", "日本語 コメント", "a  b", "x=1 comment=2", "50% #!", "🚀", '"q"')
INTERFACES = ("eth0", "wg0", "docker0", "br-1a2b3c4d5e6f", "eth0.10", "tun+", "veth@x", "a_b-c")
PROFILES = ("OpenSSH", "WWW Full", "DNS", "Bonjour", "KTorrent", "Samba", "MSN SSL")


def random_address(rng: random.Random, family: int) -> str:
    """An address, a network, with host bits now and then; for IPv4 also with a dotted mask."""
    if family == 6:
        host = "2001:db8:%x::%x" % (rng.randrange(65536), rng.randrange(65536))
        return host + rng.choice(("", "/128", "/64", "/48", "/127", "/33"))
    host = "10.%d.%d.%d" % tuple(rng.randrange(256) for dummy in range(3))
    return host + rng.choice(("", "/32", "/24", "/16", "/31", "/9", "/255.255.240.0", "/255.0.255.0"))


def random_ports(rng: random.Random, single: bool) -> str:
    """A port; or a list with ranges, not sorted."""
    if single or rng.random() < 0.6:
        return str(rng.randint(1, 65535))
    ports = []
    for dummy in range(rng.randint(1, 5)):
        low = rng.randint(1, 65000)
        ports.append("%d:%d" % (low, low + rng.randint(1, 500)) if rng.random() < 0.4 else str(low))
    return ",".join(ports)


def random_rule(rng: random.Random, profiles: list[str]) -> dict:
    """One rule in the module's words."""
    rule = {"rule": rng.choice(("allow", "allow", "deny", "reject", "limit"))}
    rule["route"] = rng.random() < 0.2
    if rule["route"]:
        for key in ("interface_in", "interface_out"):
            if rng.random() < 0.5:
                rule[key] = rng.choice(INTERFACES)
    else:
        rule["direction"] = rng.choice(("in", "in", "out"))
        if rng.random() < 0.25:
            rule["interface"] = rng.choice(INTERFACES)
    kind = rng.random()
    if profiles and kind < 0.15:
        rule["app"] = rng.choice(profiles)
    elif kind < 0.3:
        rule["proto"] = rng.choice(("esp", "ah", "gre", "igmp", "ipv6", "vrrp"))
    else:
        rule["proto"] = rng.choice(("any", "tcp", "udp"))
        for key, chance in (("to_port", 0.75), ("from_port", 0.15)):
            if rng.random() < chance:
                rule[key] = random_ports(rng, rule["proto"] == "any")
    family = rng.choice((4, 4, 6))
    if rule.get("proto") in ("igmp", "ipv6"):
        family = 4
    for key, chance in (("from_ip", 0.5), ("to_ip", 0.3)):
        if rng.random() < chance:
            rule[key] = random_address(rng, family)
    # A rule that logs and matches everything ends in a bare `-j RETURN`, which ufw itself takes for the mark of
    # "logging off" and deletes from the kernel at its next start: its kernel and its file disagree there.
    if rng.random() < 0.25 and set(rule) - {"rule", "route", "direction", "proto"}:
        rule["log"] = rng.choice(("new", "all"))
    if rng.random() < 0.3:
        rule["comment"] = rng.choice(COMMENTS)
    return rule


def command(rule: dict) -> list[str]:
    """The arguments of the ufw command for a rule."""
    words = ["route"] if rule["route"] else []
    words.append(rule["rule"])
    if rule["route"]:
        for way in ("in", "out"):
            if "interface_" + way in rule:
                words += [way, "on", rule["interface_" + way]]
    else:
        words.append(rule["direction"])
        if "interface" in rule:
            words += ["on", rule["interface"]]
    if "log" in rule:
        words.append({"new": "log", "all": "log-all"}[rule["log"]])
    if rule.get("proto", "any") != "any":
        words += ["proto", rule["proto"]]
    words += ["from", rule.get("from_ip", "any")]
    if "from_port" in rule:
        words += ["port", rule["from_port"]]
    words += ["to", rule.get("to_ip", "any")]
    if "to_port" in rule:
        words += ["port", rule["to_port"]]
    if "app" in rule:
        words += ["app", rule["app"]]
    return words + (["comment", rule["comment"]] if "comment" in rule else [])


def random_list(rng: random.Random, most: int, profiles: dict[str, Profile]) -> list[dict]:
    """A list without two rules of the same match, which ufw would fold into one."""
    names = [name for name in PROFILES if name in profiles]
    rules: list[dict] = []
    for dummy in range(rng.randint(0, most)):
        candidate = random_rule(rng, names)
        try:
            parse.parse_rules([*rules, candidate], True, lambda: profiles)
        except parse.Refused as error:
            if len(error.errors) != 1 or not ("same rule" in str(error) or "contradicts" in str(error)):
                raise
            continue
        rules.append(candidate)
    return rules


# -- the run ---------------------------------------------------------------------------------------------------------


def by_command(host: Remote, rules: list[dict]) -> None:
    """The list by the real command, one call a rule; the reload loads what a boot would."""
    lines = ["for n in $(seq $(ufw status numbered | grep -c '^\\[')); do ufw --force delete 1; done"]
    lines += ["ufw " + " ".join(shlex.quote(word) for word in command(rule)) for rule in rules]
    host.run("set -e; exec >/dev/null; " + "; ".join([*lines, "ufw reload"]))


def settings_of(rng: random.Random) -> dict:
    """Random default policies and log level."""
    policies = {way: rng.choice(("allow", "deny", "reject")) for way in ("incoming", "outgoing", "routed")}
    return {"default": policies, "logging": rng.choice(("off", "low", "medium", "high", "full"))}


def apply_settings(host: Remote, settings: dict) -> None:
    """The settings by the real command."""
    lines = ["ufw default %s %s" % (policy, way) for way, policy in settings["default"].items()]
    host.run("set -e; exec >/dev/null; " + "; ".join([*lines, "ufw logging " + settings["logging"]]))


def compare(one: Remote, other: Remote) -> list[str]:
    """The lines in which the two hosts differ."""
    texts = [host.run(DUMP).splitlines() for host in (one, other)]
    return list(difflib.unified_diff(*texts, "ufw", "ufw_ruleset", lineterm="", n=0))


class Plan(NamedTuple):
    """How many lists; every which one goes through the real command, and every which one changes policies and log level
    (0 for none); the longest list; the seed."""

    count: int = 1000
    commands: int = 20
    settings: int = 10
    most: int = 12
    seed: int = 1


class Report(NamedTuple):
    """What was done, and the first list that differed, in words; empty when all agree."""

    lists: int
    rules: int
    lists_by_command: int
    rules_by_command: int
    seconds: float
    difference: str

    def text(self) -> str:
        return self.difference or (
            "%d lists agree (%d rules; %d lists of %d rules by the real ufw command) in %.0f s"
            % (self.lists, self.rules, self.lists_by_command, self.rules_by_command, self.seconds)
        )


def run_lists(reference: Remote, subject: Remote, plan: Plan) -> Report:
    """Compare the two hosts on every list of the plan, up to the first one that differs."""
    start = time.monotonic()
    profiles = prepare(reference, subject)
    ufw, module = Worker(reference, UFW_WORKER), Worker(subject, MODULE_WORKER)
    settings = {"default": {"incoming": "deny", "outgoing": "allow", "routed": "deny"}, "logging": "low"}
    apply_settings(reference, settings)
    rules_seen = lists_by_command = rules_by_command = number = 0
    difference = ""
    while number < plan.count and not difference:
        rng = random.Random("%d-%d" % (plan.seed, number))
        rules = random_list(rng, plan.most, profiles)
        real = bool(plan.commands) and number % plan.commands == 0
        if plan.settings and number % plan.settings == plan.settings - 1:
            settings = settings_of(rng)
            apply_settings(reference, settings)
        # Both hosts work at the same time.
        module.give({"state": "enabled", "ipv6": True, "purge": True, "rules": rules, **settings})
        if real:
            by_command(reference, rules)
            lists_by_command += 1
            rules_by_command += len(rules)
        else:
            ufw.give([command(rule) for rule in rules])
            ufw.answer()
        answer = module.answer()
        lines = compare(reference, subject)
        if lines or answer["second"] or answer["export"] or answer["drift"]:
            wish = json.dumps({"rules": rules, **settings}, ensure_ascii=False)
            how = " (real command)" if real else ""
            rest = json.dumps({key: value for key, value in answer.items() if key != "changed"}, indent=1)
            difference = "list %d of seed %d%s differs: %s" % (number, plan.seed, how, wish)
            difference = "\n".join([difference, *lines[:40], rest])
        rules_seen += len(rules)
        number += 1
        if number % 100 == 0:
            print(
                "%s: %d lists, %.0f s" % (reference.name, number, time.monotonic() - start), file=sys.stderr, flush=True
            )
    for worker in (ufw, module):
        worker.end()
    seconds = time.monotonic() - start
    return Report(number, rules_seen, lists_by_command, rules_by_command, seconds, difference)


def prepare(reference: Remote, subject: Remote) -> dict[str, Profile]:
    """Both firewalls on, the client on the subject, the application profiles of the reference."""
    for host in (reference, subject):
        host.run(
            "ufw --force enable >/dev/null && ufw --force reset >/dev/null && rm -f /etc/ufw/*.rules.2* && "
            "ufw --force enable >/dev/null && ufw reload >/dev/null"
        )
    words = ["tar", "-C", str(ROOT / "plugins"), "--exclude=__pycache__", "-c", "module_utils", "plugin_utils/firewall"]
    archive = subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout
    place = FOLDER + "/" + PLUGINS
    subject.run("rm -rf %s && mkdir -p %s && tar -C %s -x" % (FOLDER, place, place), archive)
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(reference.run("cat /etc/ufw/applications.d/*"))
    return {name: make_profile(name, dict(parser.items(name))) for name in parser.sections()}


def run_releases(releases: tuple[str, ...], plan: Plan) -> dict[str, Report]:
    """The plan on hosts of our own, two of each release; all releases at the same time."""
    shell = "docker exec -i {host}"
    with fleet(tuple(release for release in releases for dummy in range(2))) as hosts:
        remotes = [Remote(shell, host.name) for host in hosts]
        with ThreadPoolExecutor(len(releases)) as pool:
            reports = pool.map(run_lists, remotes[::2], remotes[1::2], [plan] * len(releases))
            return dict(zip(releases, reports))


def main() -> int:
    """Run the comparison; 0 when everything agrees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="UFW_HOST MODULE_HOST, to take these")
    parser.add_argument("--release", action="append", choices=RELEASES, help="only this one")
    parser.add_argument("--shell", default="docker exec -i {host}", help="how a command is run on a named host")
    standard = Plan()
    for name, about in (
        ("count", "how many lists"),
        ("commands", "every which list goes through the real command"),
        ("settings", "every which list changes policies and log level"),
        ("most", "the longest list"),
        ("seed", "the first part of every list's seed"),
    ):
        parser.add_argument("--" + name, type=int, default=getattr(standard, name), help=about + " (%(default)s)")
    options = parser.parse_args()
    plan = Plan(*(getattr(options, name) for name in Plan._fields))
    if len(options.hosts) not in (0, 2):
        parser.error("expected no host, or two of them: UFW_HOST MODULE_HOST")
    if options.hosts:
        reports = {"": run_lists(*(Remote(options.shell, name) for name in options.hosts), plan)}
    else:
        reports = run_releases(tuple(options.release or RELEASES), plan)
    for release, report in reports.items():
        print("%s %s" % (release, report.text()), flush=True)
    return int(any(report.difference for report in reports.values()))


if __name__ == "__main__":
    sys.exit(main())
