# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What keeps the next boot from having the ruleset: does the module say so or put it right, and is the boot what it said?

    .venv/bin/python tests/fault/ufw_boot.py [--release trixie] [KIND ...]

A host has a ruleset in force and in ufw's files. Then something is done to it that the kernel does not show: the unit is
masked, a setting is spelled as ufw's start does not take it, a file of ufw's does not load, another firewall is enabled.

- The host is rebooted as it is: that shows what the damage is, so that no refusal is a wrong one. It is `good` (the same
  ruleset, SSH let in, another port closed), `open` or `other` (SSH is shut out, or rules are missing).
- On the same damage the module runs, in check mode and then in fact. Both say the same: it puts it right (a line of
  `drift`), it refuses with what to do, it warns, or it has nothing to say.
- The host is rebooted. Where the module put it right or had nothing to say it is good. Where it refused, the boot without
  it was not.

KIND are parts of the names of kinds; all of them without one.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from typing import NamedTuple

from hosts import RELEASES, Host, fleet, run, wait
from ufw_kill import KEEP, OLD, Bench

UNIT = "/etc/systemd/system/ufw.service"
#: What a package's unit of such a firewall does when it starts.
_OTHER = """\
cat > /etc/systemd/system/{name}.service <<'END'
[Unit]
After=ufw.service network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={start}
[Install]
WantedBy=multi-user.target
END
systemctl enable {name} 2>/dev/null"""


def other(name: str, start: str) -> str:
    return _OTHER.format(name=name, start=start)


def drop_in(text: str, folder: str = "ufw.service.d", name: str = "local.conf") -> str:
    return f"mkdir -p /etc/systemd/system/{folder}; printf '{text}' > /etc/systemd/system/{folder}/{name}"


class Kind(NamedTuple):
    """``damage`` is a script for the host. ``boot`` is what the next boot is with it: good, open or other; several
    where releases differ. ``said`` is what
    the module does: fixed, refused, warned or nothing; ``word`` is a part of what it says; ``after`` is what the boot is
    after it put things right: always what it made of the kernel."""

    name: str
    damage: str
    boot: str
    said: str
    word: str = ""
    after: str = "good"


KINDS = (
    Kind("no damage", "true", "good", "nothing"),
    # -- the unit
    Kind("unit disabled", "systemctl disable ufw 2>/dev/null", "open", "fixed", "not enabled"),
    Kind("unit masked", "systemctl mask ufw 2>/dev/null", "open", "fixed", "masked"),
    Kind("masked by an empty file", f": > {UNIT}", "open", "fixed", "masked"),
    Kind(
        "wanted by a target that no boot comes to",
        "rm /etc/systemd/system/*.wants/ufw.service; cd /etc/systemd/system; mkdir never.target.wants; "
        "printf '[Unit]\\n' > never.target; ln -s /lib/systemd/system/ufw.service never.target.wants/",
        "open",
        "fixed",
        "not enabled",
    ),
    Kind(
        "another default target",
        "cd /etc/systemd/system; printf '[Unit]\\nAllowIsolate=yes\\nWants=ssh.service\\n' > shop.target; "
        "systemctl set-default shop.target 2>/dev/null",
        "open",
        "refused",
        "systemctl set-default multi-user.target",
    ),
    Kind(
        "another default target that leads on",
        "cd /etc/systemd/system; printf '[Unit]\\nAllowIsolate=yes\\nRequires=multi-user.target\\n' > shop.target; "
        "systemctl set-default shop.target 2>/dev/null",
        "good",
        "nothing",
    ),
    Kind("a drop-in with another start", drop_in("[Service]\\nExecStart=\\nExecStart=/bin/true\\n"), "open", "refused", "/bin/true"),
    Kind("a drop-in without a start", drop_in("[Service]\\nExecStart=\\nExecStop=\\n"), "open", "refused", "nothing"),
    Kind(
        "a unit of its own in place of the package's",
        f"sed 's#^ExecStart=.*#ExecStart=/usr/local/sbin/fw start#' /lib/systemd/system/ufw.service > {UNIT}",
        "open",
        "refused",
        "/usr/local/sbin/fw",
    ),
    Kind("the same unit in its place", f"cp /lib/systemd/system/ufw.service {UNIT}", "good", "nothing"),
    Kind(
        "a condition that is not met", drop_in("[Unit]\\nConditionPathExists=/nowhere\\n"), "open", "refused", "ConditionPathExists=/nowhere"
    ),
    Kind("an assertion that is not met", drop_in("[Unit]\\nAssertPathExists=/nowhere\\n"), "open", "refused", "AssertPathExists"),
    Kind("a condition that is met", drop_in("[Unit]\\nConditionPathExists=/etc\\n"), "good", "warned", "ConditionPathExists=/etc"),
    Kind(
        "a drop-in for all services",
        drop_in("[Unit]\\nConditionPathExists=!/etc/ufw\\n", "service.d") + "; systemctl daemon-reload",
        "open",
        "refused",
        "service.d/local.conf",
    ),
    Kind("a drop-in that orders it", drop_in("[Unit]\\nAfter=systemd-sysctl.service\\n"), "good", "nothing"),
    Kind("a command before it that fails", drop_in("[Service]\\nExecStartPre=/bin/false\\n"), "open", "refused", "ExecStartPre=-/bin/false"),
    Kind("one that may fail", drop_in("[Service]\\nExecStartPre=-/bin/false\\n"), "good", "nothing"),
    Kind("a command after it that flushes", drop_in("[Service]\\nExecStartPost=/usr/sbin/iptables -F\\n"), "other", "refused", "iptables -F"),
    Kind("a unit that it needs and is not there", drop_in("[Unit]\\nRequires=gone.service\\n"), "good open", "refused", "gone.service"),
    Kind("another user", drop_in("[Service]\\nUser=nobody\\n"), "open", "refused", "User=nobody"),
    Kind("its program cannot be executed", "chmod -x /lib/ufw/ufw-init", "open", "refused", "/lib/ufw/ufw-init"),
    # -- ufw's settings
    Kind("ENABLED=no", "sed -i s/^ENABLED=.*/ENABLED=no/ /etc/ufw/ufw.conf", "open", "fixed", ""),
    Kind("ENABLED=Yes", "sed -i s/^ENABLED=.*/ENABLED=Yes/ /etc/ufw/ufw.conf", "open", "fixed", "ENABLED is Yes"),
    Kind("ENABLED twice", "echo ENABLED=no >> /etc/ufw/ufw.conf", "open", "fixed", ""),
    Kind("a line with blanks", "echo 'ENABLED = yes' >> /etc/ufw/ufw.conf", "open", "refused", "/etc/ufw/ufw.conf line"),
    Kind("a stray word", "echo hello >> /etc/default/ufw", "open", "refused", "/etc/default/ufw line"),
    Kind("no ufw.conf", "rm /etc/ufw/ufw.conf", "open", "refused", "/etc/ufw/ufw.conf"),
    Kind("an empty ufw.conf", ": > /etc/ufw/ufw.conf", "open", "fixed", ""),
    Kind(
        "a policy in small letters",
        "sed -i 's/^DEFAULT_INPUT_POLICY=.*/DEFAULT_INPUT_POLICY=\"drop\"/' /etc/default/ufw",
        "open",
        "fixed",
        "DEFAULT_INPUT_POLICY is drop",
    ),
    Kind(
        "a policy that is none",
        "sed -i 's/^DEFAULT_INPUT_POLICY=.*/DEFAULT_INPUT_POLICY=\"DENY\"/' /etc/default/ufw", "open", "refused", "DEFAULT_INPUT_POLICY is deny",
    ),
    Kind("IPV6=Yes", "sed -i s/^IPV6=.*/IPV6=Yes/ /etc/default/ufw", "other", "fixed", "IPV6 is Yes"),
    Kind("IPV6=no beside IPv6 rules", "sed -i s/^IPV6=.*/IPV6=no/ /etc/default/ufw", "other", "fixed", "ufw6", "other"),
    # -- ufw's files
    Kind(
        "before.rules with a match that is none",
        "sed -i 's/^COMMIT/-A ufw-before-input -m nonsense -j ACCEPT\\nCOMMIT/' /etc/ufw/before.rules", "other", "refused", "before.rules",
    ),
    Kind(
        "before.rules with a chain that is none",
        "sed -i 's/^COMMIT/-A ufw-nowhere -p tcp -j ACCEPT\\nCOMMIT/' /etc/ufw/before.rules", "other", "refused", "before.rules",
    ),
    Kind("before.rules without its end", "sed -i /^COMMIT/d /etc/ufw/before.rules", "other", "refused", "before.rules"),
    Kind(
        "before6.rules with a line of IPv4",
        "sed -i 's/^COMMIT/-A ufw6-before-input -s 192.0.2.1 -j ACCEPT\\nCOMMIT/' /etc/ufw/before6.rules", "other", "refused", "before6.rules",
    ),
    Kind("no before.rules", "rm /etc/ufw/before.rules", "other", "refused", "before.rules"),
    Kind("an empty before.rules", ": > /etc/ufw/before.rules", "other", "refused", "before.rules"),
    Kind(
        "before.rules with a jump to another program's chain",
        "iptables -N f2b-late; sed -i 's/^COMMIT/-A ufw-before-input -p tcp -j f2b-late\\nCOMMIT/' /etc/ufw/before.rules; "
        "iptables -A ufw-before-input -p tcp -j f2b-late",
        "other",
        "refused",
        "before.rules jumps to the chain f2b-late",
    ),
    Kind("no after6.rules", "rm /etc/ufw/after6.rules", "other", "refused", "after6.rules"),
    Kind("after.rules of one stray word", "echo hello > /etc/ufw/after.rules", "other", "refused", "after.rules"),
    Kind("before.rules with CRLF", "sed -i 's/$/\\r/' /etc/ufw/before.rules", "other", "refused", "carriage return"),
    Kind(
        "user.rules with a line by hand",
        "sed -i 's/^COMMIT/-A ufw-user-input -p tcp --dport 99999999 -j ACCEPT\\nCOMMIT/' /etc/ufw/user.rules", "other", "fixed", "user.rules",
    ),
    Kind("user.rules without its end", "sed -i /^COMMIT/d /etc/ufw/user.rules", "other", "fixed", "user.rules"),
    Kind("an empty user6.rules", ": > /etc/ufw/user6.rules", "other", "fixed", "user6.rules"),
    Kind("no user.rules", "rm /etc/ufw/user.rules", "other", "refused", "user.rules"),
    Kind(
        "user.rules with another port in its line",
        "sed -i 's/^\\(-A ufw-user-input .*dport\\) 80 /\\1 81 /' /etc/ufw/user.rules", "other", "fixed", "user.rules",
    ),
    # -- iptables, and other firewalls
    Kind(
        "iptables switched to legacy",
        "for f in iptables ip6tables; do for c in INPUT FORWARD OUTPUT; do $f-legacy -P $c ACCEPT; done; "
        "$f-legacy -F; $f-legacy -X; update-alternatives --quiet --set $f /usr/sbin/$f-legacy; done",
        "good",
        "fixed",
        "",
    ),
    Kind(
        "iptables-restore of another kind",
        "ln -sf xtables-legacy-multi /usr/sbin/iptables-restore", "open other", "refused", "iptables-restore is xtables-legacy-multi",
    ),
    Kind(
        "firewalld enabled",
        other("firewalld", '/bin/sh -c "iptables -P INPUT ACCEPT; iptables -F"'), "open", "refused", "systemctl disable firewalld.service",
    ),
    Kind(
        "netfilter-persistent enabled",
        other("netfilter-persistent", "/bin/sh -c \"iptables-restore </etc/iptables/rules.v4\"")
        + "; mkdir -p /etc/iptables; printf '*filter\\n:INPUT ACCEPT [0:0]\\nCOMMIT\\n' > /etc/iptables/rules.v4",
        "open",
        "refused",
        "netfilter-persistent.service",
    ),
    Kind(
        "a unit of the host's own that restores",
        other("fw", "/bin/sh -c \"/usr/sbin/iptables-restore /etc/fw.v4\"")
        + "; printf '*filter\\n:INPUT ACCEPT [0:0]\\nCOMMIT\\n' > /etc/fw.v4",
        "open",
        "refused",
        "fw.service is enabled",
    ),
    Kind("a unit of the host's own that adds a rule", other("fw", "/usr/sbin/iptables -A FORWARD -s 192.0.2.77 -j DROP"), "good", "nothing"),
    Kind(
        "a script of the host's own that flushes",
        other("fw", "/usr/local/sbin/fw") + "; printf '#!/bin/sh\\niptables -P INPUT ACCEPT\\niptables -F\\n' > /usr/local/sbin/fw; "
        "chmod +x /usr/local/sbin/fw",
        "open",
        "warned",
        "/usr/local/sbin/fw, which fw.service runs",
    ),
    Kind(
        "rc.local that flushes",
        "printf '#!/bin/sh\\nsleep 1; iptables -P INPUT ACCEPT; iptables -F\\n' > /etc/rc.local; chmod +x /etc/rc.local",
        "open",
        "warned",
        "/etc/rc.local",
    ),
)  # fmt: skip
_SAVE = """\
tar -C / --exclude etc/hosts --exclude etc/hostname --exclude etc/resolv.conf --exclude etc/mtab -cf /srv/etc.tar etc
stat -c %a /lib/ufw/ufw-init > /srv/mode; readlink /usr/sbin/iptables-restore > /srv/restore"""
_RESTORE = """\
rm -rf /etc/systemd /etc/ufw /etc/iptables /etc/nftables.conf /etc/rc.local /etc/fw.* /etc/alternatives /usr/local/sbin/fw
tar -C / -xf /srv/etc.tar; chmod $(cat /srv/mode) /lib/ufw/ufw-init
ln -sfn $(cat /srv/restore) /usr/sbin/iptables-restore; systemctl daemon-reload"""


class Row(NamedTuple):
    """A kind on a release: what the boot was with the damage alone, what the module said, and the boot after that."""

    release: str
    kind: str
    alone: str
    said: str
    after: str
    problems: list[str]

    def text(self) -> str:
        head = f"{self.release:9} {self.kind:50} {self.alone:6} {self.said:8} {self.after:6} "
        return "\n".join([head + ("ok" if not self.problems else ""), *(f"    {text[:700]}" for text in self.problems)])


class Boots(Bench):
    """A host that is damaged, rebooted and put right again."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        host.shell(_SAVE)
        self.old = self.kernel()

    def reset(self) -> None:
        """As it was, without a boot."""
        self.host.shell(_RESTORE)
        self.prepare(KEEP)

    def boot(self) -> str:
        """good, open or other."""
        run("docker", "restart", "--time", "20", self.host.name)
        self.host.wait()
        with contextlib.suppress(RuntimeError):
            wait(lambda: self.host.reachable(4) and self.host.reachable(6), 5)
        if self.host.is_open(4) or self.host.is_open(6):
            return "open"
        reachable = self.host.reachable(4) and self.host.reachable(6)
        return "good" if reachable and self.kernel() == self.old else "other"

    def kernel(self) -> str:
        # A rule that a host's own unit adds is no difference, nor is an empty chain that nothing leads to.
        lines = [line for line in self.look().kernel.splitlines() if "192.0.2.77" not in line]
        filled = {line.split()[1] for line in lines if line.startswith("-A")}
        left = [line for line in lines if not line.split()[-1].startswith("ufw") or line.split()[-1] in filled]
        return "\n".join(line for line in left if not line.startswith(":ufw") or line.split()[0][1:] in filled)


def try_kind(bench: Boots, kind: Kind) -> Row:
    """Both boots."""
    bench.reset()
    bench.host.shell(kind.damage)
    alone = bench.boot()
    bench.reset()
    bench.host.shell(kind.damage)
    wish = {**OLD, "confirm": {"timeout": 0}}
    check, done = bench.host.driver({**wish, "_ansible_check_mode": True}), bench.host.driver(wish)
    said, text = _said(done)
    problems = []
    if _said(check) != (said, text):
        problems.append(f"check mode says {_said(check)}, the run {said, text}")
    if kind.word not in text:
        problems.append(f"it does not say {kind.word!r}: {text}")
    made = bench.kernel()
    after = bench.boot()
    if alone not in kind.boot.split() or said != kind.said:
        problems.append(f"expected a boot that is {kind.boot}, and the module {kind.said}: {text}")
    if said in ("fixed", "nothing") and (after != kind.after or made != bench.kernel()):
        changed = sorted({*made.splitlines()} ^ {*bench.kernel().splitlines()})
        problems.append(f"the module said {said}, and the boot is {after}; other than before it: {changed[:6]}")
    if said == "refused" and alone == "good" and "good" not in kind.boot.split():
        problems.append(f"refused without need: {text}")
    return Row(bench.host.release, kind.name, alone, said, after, problems)


def _said(result: dict) -> tuple[str, str]:
    if result.get("failed"):
        return "refused", result["msg"]
    boot = [text for text in map(str, result.get("warnings", [])) if "boot: " in text]
    if result.get("changed"):
        return "fixed", f"{result['settings']} {' '.join(result['drift'])}"
    return ("warned", " ".join(boot)) if boot else ("nothing", "")


def main() -> int:
    """Every kind on every release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    parser.add_argument("--release", action="append", choices=RELEASES)
    options = parser.parse_args()
    chosen = [kind for kind in KINDS if not options.kinds or any(part in kind.name for part in options.kinds)]
    rows: list[Row] = []

    def work(host: Host) -> None:
        bench = Boots(host)
        for kind in chosen:
            try:
                row = try_kind(bench, kind)
            except Exception as error:  # pylint: disable=broad-except
                row = Row(host.release, kind.name, "", "", "", [f"{type(error).__name__}: {error}"])
            rows.append(row)
            print(row.text(), flush=True)

    print(f"{'release':9} {'what is done to the host':50} {'boot':6} {'module':8} boot")
    with fleet(tuple(options.release or RELEASES)) as hosts:
        threads = [threading.Thread(target=work, args=(host,)) for host in hosts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expected = len(chosen) * len(hosts)
    wrong = [row for row in rows if row.problems]
    opened = sum(row.after == "open" and row.said in ("fixed", "nothing") for row in rows)
    shut = sum(row.after == "other" and row.said in ("fixed", "nothing") and bool(row.problems) for row in rows)
    print(
        f"\n{len(rows)} kinds of damage: {opened} hosts open and {shut} shut out after what the module said, {len(wrong)} wrong"
    )
    return 1 if wrong or not chosen or len(rows) < expected else 0


if __name__ == "__main__":
    sys.exit(main())
