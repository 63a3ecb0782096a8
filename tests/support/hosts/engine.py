# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts with a Docker Engine of their own, for a Swarm: ``with Hosts("bulkhead-bench", ["trixie"], "10.77.2") as hosts``."""

from __future__ import annotations

from .machine import Machine, Play, run, started, wait

#: What every service runs: Python and sleep from the host's own files, so that no registry is needed.
SERVICE_IMAGE = "bulkhead-tiny:1"
_MAKE_IMAGE = r"""
set -eu
cd /
programs="/usr/bin/python3 /bin/sh /bin/sleep"
libraries=$(ldd $programs /usr/lib/python3*/lib-dynload/*.so | awk '/=> \//{print $3} /^\t\/lib/{print $1}')
libraries=$(printf '%s\n' $libraries /lib/*/libnss_dns.so* /lib/*/libnss_files.so* /lib/*/libresolv.so* /lib/*/libgcc_s.so* | sort -u)
# A file that is named twice would become a link to itself.
tar -h --hard-dereference -c --exclude='*/__pycache__' --exclude='*/dist-packages' $programs /usr/lib/python3.[0-9]* \
    $libraries /etc/passwd /etc/nsswitch.conf 2>/dev/null |
    docker import --change 'ENTRYPOINT ["/usr/bin/python3"]' - NAME
"""


class Host(Machine):
    """One host. Call it to run a command on it."""

    def __init__(self, prefix: str, net: str, number: int, release: str) -> None:
        super().__init__(prefix, net, number, release)
        self.address = self.addresses[4]

    def __call__(self, *command: object, check: bool = True, stdin: str | None = None) -> str:
        return run("docker", "exec", *(["-i"] if stdin else []), self.name, *command, check=check, stdin=stdin).strip()

    def docker(self, *command: object, check: bool = True) -> str:
        return self("docker", *command, check=check)

    def ready(self) -> None:
        self.wait()
        self.start_engine()

    def start_engine(self) -> None:
        # A Swarm's engine asks a registry for the image before it takes its own copy. There is no way out: without a name
        # server that refuses at once, each task waits some 20 s for the name.
        self("sh", "-c", "echo nameserver 127.0.0.1 >/etc/resolv.conf")
        self("systemctl", "start", "docker")
        wait(lambda: self.docker("info", "--format", "{{.ServerVersion}}", check=False), 60)

    def module(
        self, name: str = "swarm_network", check: bool = False, background: bool = False, **arguments: object
    ) -> dict | Play:
        """Run a module on the host; its result. In the background the play, see ``result``."""
        tasks = [{f"bulkhead.tiers.{name}": arguments, "check_mode": check, "diff": True}]
        play = Play(self.name, self.inventory(), tasks)
        return play if background else result(play)


def result(play: Play) -> dict:
    """What the module said that ``Host.module`` started in the background."""
    ((_task, said),) = play.results()
    return {"failed": False, **said}


class Hosts:
    """Makes the hosts on entering, removes them on leaving. Index it like a list."""

    def __init__(self, prefix: str, releases: list[str], net: str) -> None:
        self.hosts = [Host(prefix, net, number, release) for number, release in enumerate(releases, 1)]
        self._started = started(self.hosts)

    def __getitem__(self, index: int) -> Host:
        return self.hosts[index]

    def __len__(self) -> int:
        return len(self.hosts)

    def __enter__(self) -> Hosts:
        self._started.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._started.__exit__(*error)

    def swarm(self, managers: int = 1, pool: str = "10.78.0.0/16") -> None:
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
