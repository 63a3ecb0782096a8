# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Random rule lists, applied by ufw itself on one host and by ufw_ruleset on another: files and kernel must agree.

    tests/integration/ufw_differential.py UFW_HOST MODULE_HOST 200

Both hosts are containers of the lab (or any: --shell) with the same release and an active or inactive ufw. THE RULES OF
BOTH HOSTS ARE REPLACED. Most lists go through ufw's own library in one process, because its command takes about half a
second a rule; every list that --commands picks goes through the real command, one call a rule, and a reload.

For each list it is checked that user.rules, user6.rules, iptables-save and ip6tables-save are the same line for line,
that a second run of the module changes nothing, and that what ufw_ruleset_info exports changes nothing when applied.
Exit status 0 when all agree; otherwise the first differences are printed with the seed that makes them again.
"""

from __future__ import annotations

import argparse
import configparser
import difflib
import importlib.util
import json
import random
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

CLIENT = Path(__file__).resolve().parents[2] / "plugins" / "module_utils" / "ufw"
FOLDER = "/root/bulkhead-differential"


def load_parser() -> ModuleType:
    """The client's parser, which says which rules are the same to ufw; its folder is not on Python's path."""
    spec = importlib.util.spec_from_file_location(
        "client", CLIENT / "__init__.py", submodule_search_locations=[str(CLIENT)]
    )
    sys.modules["client"] = importlib.util.module_from_spec(spec)
    return importlib.import_module("client.parse")


parse = load_parser()

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
from client.files import Host
from client.ruleset import converge, inform
for line in sys.stdin:
    params = json.loads(line)
    first, second = converge(Host(), params, False), converge(Host(), params, False)
    exported = inform(Host())
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

    def ask(self, job: object) -> dict:
        """Give the worker one job and wait for its answer."""
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.errors.seek(0)
            errors = self.errors.read().decode()[-4000:]
            raise SystemExit("%s\na worker died on %s" % (errors, json.dumps(job)))
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


def random_list(rng: random.Random, most: int, profiles: dict[str, str]) -> list[dict]:
    """A list without two rules of the same match, which ufw would fold into one."""
    names = [name for name in PROFILES if name in profiles]
    rules: list[dict] = []
    for dummy in range(rng.randint(0, most)):
        candidate = random_rule(rng, names)
        try:
            parse.parse_rules([*rules, candidate], True, lambda: profiles)
        except parse.InputErrors as error:
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


def main() -> int:
    """Run the comparison; 0 when everything agrees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ufw_host")
    parser.add_argument("module_host")
    parser.add_argument("count", type=int, help="how many lists")
    parser.add_argument("--commands", type=int, default=20, help="every which list goes through the real command")
    parser.add_argument("--settings", type=int, default=10, help="every which list changes policies and log level")
    parser.add_argument("--most", type=int, default=12, help="the longest list")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shell", default="docker exec -i {host}", help="how a command is run on a host")
    options = parser.parse_args()
    reference, subject = (Remote(options.shell, name) for name in (options.ufw_host, options.module_host))
    profiles = prepare(reference, subject)
    ufw, module = Worker(reference, UFW_WORKER), Worker(subject, MODULE_WORKER)
    settings = {"default": {"incoming": "deny", "outgoing": "allow", "routed": "deny"}, "logging": "low"}
    apply_settings(reference, settings)
    rules_seen = commands = 0
    start = time.monotonic()
    for number in range(options.count):
        rng = random.Random("%d-%d" % (options.seed, number))
        rules = random_list(rng, options.most, profiles)
        real = options.commands and number % options.commands == 0
        if options.settings and number % options.settings == options.settings - 1:
            settings = settings_of(rng)
            apply_settings(reference, settings)
        if real:
            by_command(reference, rules)
            commands += len(rules)
        else:
            ufw.ask([command(rule) for rule in rules])
        answer = module.ask({"state": "enabled", "ipv6": True, "purge": True, "rules": rules, **settings})
        differences = compare(reference, subject)
        rules_seen += len(rules)
        if differences or answer["second"] or answer["export"] or answer["drift"]:
            print(
                "list %d of seed %d%s differs: %s"
                % (
                    number,
                    options.seed,
                    " (real command)" if real else "",
                    json.dumps({"rules": rules, **settings}, ensure_ascii=False),
                )
            )
            print("\n".join(differences[:40]))
            print(json.dumps({key: value for key, value in answer.items() if key != "changed"}, indent=1))
            return 1
    print(
        "%d lists agree (%d rules; %d of them by the real ufw command) in %.0f s"
        % (options.count, rules_seen, commands, time.monotonic() - start)
    )
    return 0


def prepare(reference: Remote, subject: Remote) -> dict[str, str]:
    """Both firewalls on, the client on the subject, the application profiles of the reference."""
    for host in (reference, subject):
        host.run(
            "ufw --force enable >/dev/null && ufw --force reset >/dev/null && rm -f /etc/ufw/*.rules.2* && "
            "ufw --force enable >/dev/null && ufw reload >/dev/null"
        )
    archive = subprocess.run(["tar", "-C", str(CLIENT), "-c", "."], stdout=subprocess.PIPE, check=True).stdout
    subject.run(
        "rm -rf %s && mkdir -p %s/client && tar -C %s/client -x && rm -f %s/client/task.py" % ((FOLDER,) * 4), archive
    )
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(reference.run("cat /etc/ufw/applications.d/*"))
    return {name: parser.get(name, "ports") for name in parser.sections()}


if __name__ == "__main__":
    sys.exit(main())
