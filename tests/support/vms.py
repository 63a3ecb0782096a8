"""The two machines of `make vagrant` (Vagrantfile), over ssh."""

from __future__ import annotations

import os
import pathlib
import shlex
import subprocess
import time

FOLDER = pathlib.Path(os.environ["BULKHEAD_VAGRANT"])
CHECKOUT = pathlib.Path(__file__).parents[2]
INVENTORY = CHECKOUT / "molecule/vagrant/inventory"
#: In software emulation, on a machine that does other things as well, a command may take as long as this.
PATIENCE = 180
#: Arguments of vlan_interfaces that cut the connection: with the controller's own address on the host, no answer leaves it.
CUTTING = {"parent": "eth1", "vlans": [{"id": 99, "tier": "cut", "addresses": ["192.168.121.1/24"]}]}
#: Shows the files of VLANs and the interfaces.
VLANS = "cat /etc/systemd/network/*bulkhead* /etc/systemd/network/*.d/*; ip -brief address show type vlan | sed 's/fe80.*//' | sort"


class Machine:
    """One of them. front, workers, control: its addresses there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.front, self.workers = (f"10.{tier}.0.1{name[-1]}" for tier in (20, 40))

    def run(self, command: str, check: bool = True, within: int = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a command of the shell's as root."""
        done = subprocess.run(self.ssh(command), capture_output=True, text=True, check=False, timeout=within)
        assert not check or not done.returncode, f"{self.name}: {command}: {done.stdout}{done.stderr}"
        return done

    def out(self, command: str) -> str:
        return self.run(command).stdout.strip()

    def ssh(self, command: str) -> list[str]:
        return [*self._ssh("tests"), f"sudo sh -c {shlex.quote(command)}"]

    def _ssh(self, whose: str, *more: str) -> list[str]:
        """One connection for all commands: a new one takes seconds in software emulation. whose: "tests", "ansible" (as the
        inventory says) or "" for a connection of its own."""
        wanted = {"ConnectTimeout": 10, "ServerAliveInterval": 5, "ServerAliveCountMax": 4}
        shared = {"ControlMaster": "auto", "ControlPath": FOLDER / f"ssh-{whose}-{self.name}", "ControlPersist": 300}
        wanted |= shared if whose else {"ControlMaster": "no", "ControlPath": "none"}
        options = [word for name, value in wanted.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-F", str(FOLDER / "ssh_config"), *options, *more, self.name]

    def forget(self) -> None:
        """End the connections: the machine at their other end is another one after a reset."""
        for whose in ("tests", "ansible"):
            subprocess.run(self._ssh(whose, "-O", "exit"), capture_output=True, check=False)

    def over_a_new_connection(self, command: str, within: int = 60) -> str:
        """What a command prints; "" where no connection comes about, or it prints nothing."""
        try:
            words = [*self._ssh(""), command]
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=within)
        except subprocess.TimeoutExpired:
            return ""
        return "" if done.returncode else done.stdout.strip()

    @property
    def control(self) -> str:
        lines = (FOLDER / "ssh_config").read_text(encoding="utf-8").split(f"Host {self.name}\n")[1].splitlines()
        return next(line.split()[1] for line in lines if line.split()[0] == "HostName")

    def get(self, url: str, more: str = "") -> subprocess.CompletedProcess[str]:
        """Ask for a page; status 28 where no answer came in time."""
        return self.run(f"curl -sS --max-time 8 {more} {url}", check=False)


def wait_for(what, seconds=PATIENCE):
    """Poll until ``what()`` is true; its last value."""
    end = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < end:
        time.sleep(1)
    return found
