"""A machine that is reset in the middle of a change has the old rules or the new ones after it, and at no moment of the boot none."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import subprocess
import threading
import time

import pytest
from vms import CHECKOUT, CUTTING, FOLDER, INVENTORY, VLANS, wait_for

REBOOTS = int(os.environ.get("BULKHEAD_REBOOTS", "10"))
#: No program listens there, and no rule names it: a host without rules answers with a reset at once, one with them never.
CLOSED = 9999
#: Seconds between two packets.
PACE = 0.02
OLD, NEW = "7001", "7002"


class Knocking(threading.Thread):
    """Sends a SYN to a closed port every PACE seconds, from this machine, and notes down every answer. Each is a socket of its own."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.address, self.sent, self.answers = address, 0, []
        #: The longest time between two packets: this machine may be busy.
        self.gaps, self._last, self.ended = 0.0, 0.0, threading.Event()

    def run(self) -> None:
        waiting: dict[int, tuple[socket.socket, float]] = {}
        poll = select.poll()
        while not self.ended.is_set():
            now = time.monotonic()
            self.gaps, self._last = max(self.gaps, now - (self._last or now)), now
            knock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            knock.setblocking(False)
            if knock.connect_ex((self.address, CLOSED)) in (errno.EINPROGRESS, 0):
                waiting[knock.fileno()] = (knock, now)
                poll.register(knock, select.POLLOUT | select.POLLERR)
                self.sent += 1
            for number, _event in poll.poll(0):
                found, began = waiting.pop(number)
                poll.unregister(number)
                error = found.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                # What this machine itself says of a machine that is off (no answer to ARP) is no answer.
                if error in (0, errno.ECONNREFUSED):
                    self.answers.append((now, error))
                found.close()
            for number in [number for number, (_knock, began) in waiting.items() if began < now - 0.9]:
                found, _began = waiting.pop(number)
                poll.unregister(number)
                found.close()
            time.sleep(PACE)

    def stop(self) -> None:
        self.ended.set()
        self.join()


@pytest.fixture(name="neighbour", scope="module")
def fixture_neighbour(vm2):
    """The machine's hardware address, for good: otherwise this machine asks for it first, once a second, and sends nothing meanwhile.

    dnsmasq sets it anew with each lease, before the machine has its address, so that it is there at each boot.
    """
    device = subprocess.run(
        ["ip", "-o", "route", "get", vm2.control], capture_output=True, text=True, check=True
    ).stdout.split()
    device = device[device.index("dev") + 1]
    address = vm2.out("cat /sys/class/net/eth0/address")
    subprocess.run(
        ["ip", "neigh", "replace", vm2.control, "lladdr", address, "dev", device, "nud", "permanent"], check=True
    )
    yield
    subprocess.run(["ip", "neigh", "del", vm2.control, "dev", device], check=False)


def knocked(address, seconds):
    knocking = Knocking(address)
    knocking.start()
    time.sleep(seconds)
    knocking.stop()
    return knocking


def change(port):
    """The words of a change: the site's rules and one more."""
    rules = "{{ lookup('bulkhead.tiers.host_plan', 'rules') + [{'rule': 'allow', 'proto': 'tcp', 'from_ip': '192.168.121.1', 'to_port': '%s'}] }}"
    task = f'{{default: {{incoming: deny, outgoing: allow, routed: deny}}, logging: low, purge: true, rules: "{rules % port}", '
    task += "docker: \"{{ lookup('bulkhead.tiers.host_plan', 'docker') }}\", confirm: {timeout: 60}}"
    play = FOLDER / "change.yml"
    play.write_text(
        f"- hosts: vm2\n  gather_facts: false\n  become: true\n  tasks:\n    - bulkhead.tiers.ufw_ruleset: {task}\n",
        encoding="utf-8",
    )
    return ["ansible-playbook", "-i", str(INVENTORY), str(play)]


def run_change(port):
    done = subprocess.run(change(port), cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=600)
    assert not done.returncode, done.stdout[-3000:] + done.stderr[-1000:]


def rules_of(vm):
    """Which of the two is in force: OLD, NEW, or "none"; both is an error of its own."""
    text = vm.out("iptables-save -t filter")
    assert ":INPUT DROP" in text and "-A INPUT -j ufw-before-input" in text and "--dport 22 " in text, text
    found = [port for port in (OLD, NEW) if f"--dport {port} " in text]
    return found[0] if len(found) == 1 else "none" if not found else "both"


def reset(vm):
    subprocess.run(["virsh", "reset", f"bulkhead-{vm.name}"], check=True, capture_output=True)
    vm.forget()


def come_back(vm, boot):
    """Wait until the machine has booted anew."""

    def is_back():
        return vm.over_a_new_connection("cat /proc/sys/kernel/random/boot_id", 40) not in ("", boot)

    # A machine that does not come back is reset once more.
    if not wait_for(is_back, 300):
        reset(vm)
        assert wait_for(is_back, 300), "the machine does not come back"


def test_a_port_that_no_rule_closes_would_answer_the_knocking(vm2, neighbour):
    """Without this, silence proves nothing."""
    vm2.run(f"iptables -I INPUT -p tcp --dport {CLOSED} -j ACCEPT")
    try:
        assert len(knocked(vm2.control, 3).answers) > 20
    finally:
        vm2.run(f"iptables -D INPUT -p tcp --dport {CLOSED} -j ACCEPT")
    assert knocked(vm2.control, 3).answers == []


def test_after_each_reset_in_the_middle_of_a_change_the_old_or_the_new_rules_are_there_and_never_none(
    vm2, neighbour, record_property
):
    run_change(OLD)
    began = time.monotonic()
    run_change(NEW)
    lasts = time.monotonic() - began
    told, outcomes = [], []
    # The last one comes after the end: what was kept is there.
    for number in range(REBOOTS + 1):
        old = rules_of(vm2)
        wanted = NEW if old == OLD else OLD
        boot = vm2.out("cat /proc/sys/kernel/random/boot_id")
        knocking = Knocking(vm2.control)
        knocking.start()
        began = time.monotonic()
        with subprocess.Popen(
            change(wanted), cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as running:
            # Spread over the whole of it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(lasts * (number + 0.5) / REBOOTS if number < REBOOTS else 600)
            at = time.monotonic()
            reset(vm2)
            come_back(vm2, boot)
            found = rules_of(vm2)
            knocking.stop()
            running.kill()
        outcomes.append("old" if found == old else "new" if found == wanted else found)
        told.append(
            f"reset {number + 1}: {at - began:.1f} s into the change of {lasts:.0f} s, {outcomes[-1]} rules after "
            f"{time.monotonic() - at:.0f} s, {knocking.sent} packets sent at most {knocking.gaps:.2f} s apart, {len(knocking.answers)} answered"
        )
        (FOLDER / "reboots.txt").write_text("\n".join(told) + "\n", encoding="utf-8")
        assert knocking.answers == [], told
    assert set(outcomes) <= {"old", "new"} and outcomes[REBOOTS:] == ["new"], told


def test_at_boot_the_rules_are_in_force_before_the_network_begins(vm2):
    wanted = {"ufw": "ExecMainExit", "systemd-networkd": "ExecMainStart", "docker": "ExecMainStart"}
    ufw, network, docker = (
        int(vm2.out(f"systemctl show --value -p {when}TimestampMonotonic {unit}")) for unit, when in wanted.items()
    )
    assert 0 < ufw < network and ufw < docker, (ufw, network, docker)


def test_after_a_reset_the_vlans_are_there_and_the_service_answers_again(vm1, vm2):
    assert wait_for(lambda: vm2.front in vm2.run("ip -brief address show dev eth1.20", check=False).stdout, 60)
    assert wait_for(lambda: vm2.get(f"http://{vm1.front}:8080/").stdout.strip() == "vm2", 300)
    assert vm2.get(f"http://{vm1.front}:8081/").returncode == 28


def test_a_reset_before_new_interfaces_are_confirmed_brings_the_old_ones_back(vm2):
    before = vm2.out(VLANS)
    boot = vm2.out("cat /proc/sys/kernel/random/boot_id")
    words = ["ansible", "-i", str(INVENTORY), "vm2", "-b", "-m", "bulkhead.tiers.vlan_interfaces"]
    words += ["-a", json.dumps({**CUTTING, "confirm": {"timeout": 900}})]
    with subprocess.Popen(words, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        cut = wait_for(lambda: not vm2.over_a_new_connection("uname"))
        reset(vm2)
        running.kill()
    assert cut, "the change was to cut the connection"
    come_back(vm2, boot)
    assert wait_for(lambda: vm2.out(VLANS) == before, 60), vm2.out(VLANS)
    assert "restarted before the change was confirmed" in vm2.out("python3 /var/lib/bulkhead/vlans/guard.py status")
