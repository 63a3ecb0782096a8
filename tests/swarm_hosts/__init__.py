"""Hosts with a Docker Engine of their own, as systemd containers on this machine, for tests that stop and break them.

They are made from the images that ``playbooks/lab.yml`` builds, beside the lab and without touching it, and are gone at
the end: ``with Hosts("bulkhead-fault", ["trixie", "bookworm"]) as hosts``.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
IMAGE = "bulkhead-lab/debian:{}"
#: What every service runs: Python and sleep from the host's own files, so that no registry is needed.
SERVICE_IMAGE = "bulkhead-tiny:1"
_MAKE_IMAGE = r"""
set -eu
cd /
programs="/usr/bin/python3 /bin/sh /bin/sleep"
libraries=$(ldd $programs /usr/lib/python3*/lib-dynload/*.so | awk '/=> \//{print $3} /^\t\/lib/{print $1}')
libraries=$(printf '%s\n' $libraries /lib/*/libnss_dns.so* /lib/*/libnss_files.so* /lib/*/libresolv.so* | sort -u)
# A file that is named twice would become a link to itself.
tar -h --hard-dereference -c --exclude='*/__pycache__' --exclude='*/dist-packages' $programs /usr/lib/python3.[0-9]* \
    $libraries /etc/passwd /etc/nsswitch.conf 2>/dev/null |
    docker import --change 'ENTRYPOINT ["/usr/bin/python3"]' - NAME
"""


def run(*command, check=True, stdin=None):
    """The standard output of a command; what it said where it failed and that matters."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, input=stdin, check=False)
    if check and done.returncode:
        raise SystemExit("%s: %s%s" % (" ".join(map(str, command))[:200], done.stdout, done.stderr))
    return done.stdout.strip()


class Host:
    """One host, by the name of its container."""

    def __init__(self, name, address):
        self.name, self.address = name, address

    def __call__(self, *command, check=True, stdin=None):
        """Run a command on the host."""
        return run(
            "docker", "exec", *(["-i"] if stdin is not None else []), self.name, *command, check=check, stdin=stdin
        )

    def docker(self, *command, check=True):
        return self("docker", *command, check=check)

    def start_engine(self):
        self("systemctl", "start", "docker")
        wait(lambda: self.docker("info", "--format", "{{.ServerVersion}}", check=False), 60)

    def stop_engine(self):
        self("systemctl", "stop", "docker.socket", "docker.service")

    def module(self, name="swarm_network", check=False, background=False, **arguments):
        """Run a module on the host; its result. In the background a process, see ``result``."""
        file = tempfile.NamedTemporaryFile("w", suffix=".yml")  # noqa: SIM115
        task = {f"bulkhead.tiers.{name}": arguments, "check_mode": check, "diff": True}
        json.dump([{"hosts": "all", "gather_facts": False, "tasks": [task]}], file)
        file.flush()
        process = subprocess.Popen(
            ["ansible-playbook", "-i", f"{self.name},", "-c", "community.docker.docker", file.name],
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
                "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
                "ANSIBLE_DEPRECATION_WARNINGS": "false",
                "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.playbook = file
        return process if background else result(process)


def result(process):
    """What the module said that ``Host.module`` started in the background."""
    out, err = process.communicate(timeout=1200)
    process.playbook.close()
    if "{" not in out:
        raise SystemExit(out + err)
    report, _end = json.JSONDecoder().raw_decode(out[out.index("{") :])
    (said,) = report["plays"][0]["tasks"][0]["hosts"].values()
    return {"failed": False, **said}


def wait(condition, seconds=120.0, pause=0.2):
    """Wait until the condition holds; what it says then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(pause)
    raise SystemExit("waited %d s in vain" % seconds)


class Hosts:
    """Makes the hosts on entering, removes them on leaving. Index it like a list."""

    def __init__(self, prefix, releases, subnet="10.77.1"):
        self.prefix, self.releases, self.subnet = prefix, releases, subnet
        self.hosts = [
            Host("%s-%d" % (prefix, number), "%s.%d" % (subnet, 10 + number)) for number in range(1, len(releases) + 1)
        ]

    def __getitem__(self, index):
        return self.hosts[index]

    def __len__(self):
        return len(self.hosts)

    def __enter__(self):
        self._remove()
        run("docker", "network", "create", "--subnet", self.subnet + ".0/24", self.prefix)
        try:
            for host, release in zip(self.hosts, self.releases):
                self._start(host, release)
            for host in self.hosts:
                wait(lambda host=host: host("systemctl", "is-active", "multi-user.target", check=False) == "active")
                host.start_engine()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *unused):
        self._remove()

    def _start(self, host, release):
        version_2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        # As roles/lab starts its hosts.
        groups = ["--cgroupns=private"] if version_2 else ["--cgroupns=host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]
        init = [] if version_2 else ["SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1", "systemd.unified_cgroup_hierarchy=0"]
        run(
            *("docker", "run", "-d", "--name", host.name, "--hostname", host.name, "--network", self.prefix),
            *("--ip", host.address, "-e", "LAB_GATEWAY=%s.1" % self.subnet, "--cap-add", "ALL"),
            *("--cap-drop", "SYS_RESOURCE", "--security-opt", "seccomp=unconfined"),
            *("--security-opt", "apparmor=unconfined", *groups, "--tmpfs", "/run", "--tmpfs", "/run/lock"),
            *("-v", "/var/lib/docker", "--stop-signal", "SIGRTMIN+3", IMAGE.format(release), "/sbin/init", *init),
        )

    def _remove(self):
        for host in self.hosts:
            run("docker", "rm", "-f", "-v", host.name, check=False)
        run("docker", "network", "rm", self.prefix, check=False)

    def swarm(self, managers=1, pool="10.78.0.0/16"):
        """Make a Swarm of all hosts, the first ones its managers, and give each the image for services."""
        first = self.hosts[0]
        first.docker("swarm", "init", "--advertise-addr", first.address, "--default-addr-pool", pool)
        tokens = {role: first.docker("swarm", "join-token", "-q", role) for role in ("manager", "worker")}
        for number, host in enumerate(self.hosts[1:], 1):
            role = "manager" if number < managers else "worker"
            host.docker("swarm", "join", "--token", tokens[role], first.address + ":2377")
        first("sh", "-c", _MAKE_IMAGE.replace("NAME", SERVICE_IMAGE))
        for host in self.hosts[1:]:
            run(
                *("sh", "-c"),
                "docker exec %s docker save %s | docker exec -i %s docker load"
                % (first.name, SERVICE_IMAGE, host.name),
            )
