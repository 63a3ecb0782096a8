"""tailscale_node through Ansible: the key is nowhere but where it is used, and a host that is reached over the tailnet alone
is reached afterwards."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hosts.machine import Play, run, wait
from playbook import playbook
from tailnet import Node, tailnet

PREFIX = os.environ.get("BULKHEAD_FAULT_PREFIX", "bulkhead-fault") + "-tsw"
NET = f"10.{os.environ.get('BULKHEAD_FAULT_NET', '77')}.7"
#: Every command line and environment of the host, as often as a shell can.
SAMPLER = """\
while [ ! -e /srv/enough ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; done >>/srv/sampled
"""
#: A host's own firewall that lets nothing new in; tailscaled accepts the tailnet before it, while netfilter_mode is on.
CLOSED = "iptables -A INPUT -i lo -j ACCEPT; iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; iptables -P INPUT DROP"


@pytest.fixture(name="lab", scope="module")
def fixture_lab(tmp_path_factory):
    """(Headscale, the managed host, how Ansible reaches it over the tailnet); the second node is the way there."""
    with tailnet(PREFIX, NET, ["bookworm", "trixie"]) as (control, (host, way)):
        control.user("lab")
        folder = tmp_path_factory.mktemp("ssh")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
        host.put("/root/.ssh/authorized_keys", (folder / "key.pub").read_text(), "600")
        host.shell("chmod 700 /root/.ssh; mkdir -p /run/sshd; systemctl restart ssh")
        way.join(control.key())
        proxy = f"docker exec -i {way.name} tailscale nc %h %p"
        options = f"-o ProxyCommand='{proxy}' -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ControlPersist=20"
        yield (
            control,
            host,
            {
                "ansible_connection": "ansible.builtin.ssh",
                "ansible_user": "root",
                "ansible_ssh_private_key_file": str(folder / "key"),
                "ansible_ssh_common_args": options,
                "ansible_python_interpreter": "/usr/bin/python3",
            },
        )


def play(folder: Path, inventory: dict, task: dict, *options: str, **environment: str) -> str:
    """All that ansible-playbook prints of one task."""
    hosts, file = folder / "hosts.json", folder / "play.json"
    hosts.write_text(json.dumps({"all": {"hosts": {"node1": inventory}}}))
    tasks = [{"name": "the node", "bulkhead.tiers.tailscale_node": task, "register": "said"}]
    file.write_text(json.dumps([{"hosts": "node1", "gather_facts": False, "tasks": tasks}]))
    environment = {"ANSIBLE_TIMEOUT": "8", **environment}
    done = playbook(file, hosts, *options, **environment)
    return done.stdout + done.stderr


@pytest.mark.parametrize("pipelining", ["true", "false"])
def test_the_key_is_nowhere_but_where_it_is_used(lab, tmp_path, pipelining):
    control, host, _ssh = lab
    host.shell(
        "cd /; systemctl stop tailscaled; rm -rf /var/lib/tailscale/* /srv/enough /srv/sampled; "
        "systemctl reset-failed tailscaled; systemctl start tailscaled"
    )
    wait(host.answers, 60, what="tailscaled answers")
    key = control.key()
    local, temporary = tmp_path / "home", tmp_path / "local"
    work = tmp_path / "work"
    for folder in (local, temporary, work):
        folder.mkdir()
    host.put("/srv/sample.sh", SAMPLER)
    host.shell("systemd-run --quiet --collect --unit sampler sh /srv/sample.sh")
    task = {"login_server": control.url, "auth_key": key, "hostname": "web1"}
    settings = {
        "ANSIBLE_PIPELINING": pipelining,
        "ANSIBLE_HOME": str(local),
        "ANSIBLE_LOCAL_TEMP": str(temporary),
        "ANSIBLE_LOG_PATH": str(tmp_path / "log"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_DISPLAY_ARGS_TO_STDOUT": "false",
    }
    said = play(work, host.inventory(), task, "-vvv", "--diff", **settings)
    host.shell("touch /srv/enough; while systemctl is-active --quiet sampler; do sleep 0.1; done")
    assert "changed=1" in said and host.state() == "Running", said[-3000:]
    assert key not in said and "+login: logged in" in said
    assert key not in (tmp_path / "log").read_text()
    # Its secret may hold hyphens, and one of its ends may be short enough to stand anywhere: a fixed length of it.
    for part in (key, key[-24:]):
        host.put("/run/part", part)
        found = host.shell("grep -c -F -f /run/part /srv/sampled", check=False).strip()
        assert found == "0" and host.shell("grep -c tailscaled /srv/sampled").strip() != "0", (
            "the sampler saw processes"
        )
        journal = host.shell("journalctl --no-pager --output cat | grep -c -F -f /run/part", check=False).strip()
        assert journal == "0"
        places = "/etc /home /root /run /srv /tmp /var --exclude=part --exclude-dir=docker"
        assert host.shell(f"grep -r -l -a -F -f /run/part {places} 2>/dev/null", check=False) == ""
        host.shell("rm /run/part")
        left = [path for folder in (local, temporary) for path in folder.rglob("*") if path.is_file()]
        assert [path for path in left if part.encode() in path.read_bytes()] == []
    again = play(work, host.inventory(), {**task, "auth_key": control.key()}, "-vvv", "--diff", **settings)
    assert "changed=0" in again and "failed=0" in again


def over(lab):
    """The managed host is up, and reached over the tailnet alone."""
    control, host, ssh = lab
    if host.state() != "Running":
        host.join(control.key())
    host.shell(
        "iptables -P INPUT ACCEPT; iptables -F INPUT; tailscale set --netfilter-mode=on --shields-up=false --ssh=false"
    )
    host.shell(CLOSED + "; systemctl restart tailscaled")
    host.until("Running")
    return host, {**ssh, "ansible_host": host.address()}


def failed(said: str) -> str:
    assert "failed=1" in said, said[-3000:]
    return said


@pytest.mark.parametrize(
    "change",
    [{"state": "down"}, {"shields_up": True}, {"ssh": True}, {"state": "absent"}],
    ids=lambda one: "-".join(map(str, one)),
)
def test_what_would_cut_the_only_way_is_refused(lab, tmp_path, change):
    host, inventory = over(lab)
    before = host.prefs()
    said = failed(play(tmp_path, inventory, change))
    assert "accept_cut" in said and "over the tailnet" in said
    assert host.prefs() == before and host.state() == "Running"


def test_a_change_that_leaves_the_way_open_is_confirmed_over_a_new_connection(lab, tmp_path):
    host, inventory = over(lab)
    said = play(tmp_path, inventory, {"accept_routes": True, "hostname": "renamed", "confirm": {"timeout": 40}}, "-v")
    assert "changed=1" in said and "confirmed over a new connection" in said, said[-3000:]
    assert (
        host.prefs()["Hostname"] == "renamed"
        and host.shell("ls /var/lib/bulkhead/tailscale/change.json", check=False) == ""
    )


def test_a_change_that_cuts_the_only_way_is_taken_back_by_the_host_itself(lab, tmp_path):
    host, inventory = over(lab)
    said = failed(play(tmp_path, inventory, {"netfilter_mode": "nodivert", "confirm": {"timeout": 10}}))
    assert "The old preferences are back" in said and "no new connection came through" in said, said[-3000:]
    assert host.prefs()["NetfilterMode"] == 2
    assert "changed=0" in play(tmp_path, inventory, {"netfilter_mode": "on"}), "and the host is reached as before"


#: What can become of a change, by what its task says.
KEPT, REFUSED, BACK = "confirmed over a new connection", "say accept_cut: true", "The old preferences are back"
UNTOUCHED, NO_LOGIN = "not needed: the change does not touch the connection", "check auth_key"
#: One change after the other of a host that is managed over the tailnet alone, and what becomes of it.
CHANGES = [
    ({"accept_dns": False}, UNTOUCHED),
    ({"accept_routes": True}, KEPT),
    ({"accept_routes": False}, KEPT),
    ({"advertise_connector": True}, UNTOUCHED),
    ({"advertise_routes": ["10.7.0.0/24", "fd00:7::/64"]}, UNTOUCHED),
    ({"advertise_routes": []}, UNTOUCHED),
    ({"advertise_exit_node": True}, UNTOUCHED),
    ({"advertise_exit_node": False}, UNTOUCHED),
    ({"exit_node": "way"}, KEPT),
    ({"exit_node_allow_lan_access": True}, KEPT),
    ({"exit_node": ""}, KEPT),
    ({"hostname": "another"}, KEPT),
    ({"netfilter_mode": "nodivert"}, BACK),
    ({"netfilter_mode": "off", "hostname": "third", "accept_dns": True}, BACK),
    ({"nickname": "lab", "operator": "nobody"}, UNTOUCHED),
    ({"relay_server_port": "40000"}, UNTOUCHED),
    ({"report_posture": True, "update_check": False}, UNTOUCHED),
    ({"snat_subnet_routes": False, "stateful_filtering": True}, UNTOUCHED),
    ({"webclient": True}, UNTOUCHED),
    ({"shields_up": True}, REFUSED),
    ({"ssh": True}, REFUSED),
    ({"state": "down"}, REFUSED),
    ({"state": "logged_out"}, REFUSED),
    ({"state": "absent"}, REFUSED),
    ({"advertise_tags": ["web"], "auth_key": "hskey-auth-bad"}, REFUSED),
    ({"advertise_tags": ["web"], "auth_key": "hskey-auth-bad", "accept_cut": True}, NO_LOGIN),
    ({"login_server": "http://192.0.2.99", "auth_key": "hskey-auth-bad"}, REFUSED),
    ({"login_server": "http://192.0.2.99", "auth_key": "hskey-auth-bad", "accept_cut": True, "timeout": 12}, NO_LOGIN),
]


@pytest.fixture(name="exit_node")
def fixture_exit_node(lab):
    """The address of the node by which Ansible comes, which is an exit node as well."""
    control, host, _ssh = lab
    way = Node(host.prefix, NET, 3, "trixie", control.url)
    for node in (host, way):
        node.shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    way.shell("tailscale set --advertise-exit-node")
    wait(lambda: control.node(way.address()).get("available_routes"), 60, what="the control server has heard of it")
    control.approve(way.address(), "0.0.0.0/0", "::/0")
    yield way.address()
    way.shell("tailscale set --advertise-exit-node=false")


@pytest.mark.whole
def test_after_every_change_the_host_is_reached_over_the_tailnet_alone(lab, exit_node):
    """Each change is refused, or made and confirmed, or taken back; and a connection that is new comes through afterwards."""
    host, inventory = over(lab)
    # Whatever the tests before it have left.
    host.shell("tailscale set --accept-dns=true --accept-routes=false --exit-node= --hostname=node1")
    wait(
        lambda: any(peer.get("ExitNodeOption") for peer in (host.status()["Peer"] or {}).values()),
        60,
        what="the host sees the exit node",
    )
    tasks: list[dict] = []
    for change, _word in CHANGES:
        task = {"confirm": {"timeout": 12}, **change}
        if task.get("exit_node"):
            task["exit_node"] = exit_node
        tasks += [
            {"name": "change", "bulkhead.tiers.tailscale_node": task, "ignore_errors": True},
            {"name": "reached", "ansible.builtin.raw": "tailscale debug prefs"},
        ]
    # Each task comes over a connection of its own.
    results = Play(
        "node1", {**inventory, "ansible_ssh_args": "-o ControlMaster=no"}, tasks, ANSIBLE_TIMEOUT="8"
    ).results()
    said = [one for task, one in results if task["name"] == "change"]
    found = [json.loads(one["stdout"]) for task, one in results if task["name"] == "reached"]
    assert len(said) == len(found) == len(CHANGES), [results[-1], len(said), len(found)]
    for number, (change, word) in enumerate(CHANGES):
        one = said[number]
        text = str(one.get("msg") if one.get("failed") else one.get("confirmation"))
        assert word in text, (change, word, one)
        assert bool(one["changed"]) is (word in (KEPT, UNTOUCHED)), (change, one)
        if number and not one["changed"]:
            assert found[number] == found[number - 1], (change, "all is as it was")


def test_a_change_that_breaks_the_connection_at_once_is_taken_back_too(lab, tmp_path):
    """With Tailscale SSH on, what comes to port 22 goes to tailscaled in the middle of a connection: the module's answer does not come back,
    or, where it was faster, no new connection comes through."""
    host, inventory = over(lab)
    said = play(tmp_path, inventory, {"ssh": True, "accept_cut": True, "confirm": {"timeout": 12}})
    words = " ".join(said.split())
    lost = "the host takes the change back by itself" in words and "unreachable=1" in said
    assert lost or "was not confirmed: no new connection came through" in words and "failed=1" in said, said[-3000:]
    wait(lambda: host.prefs()["RunSSH"] is False, 90, what="the host takes it back")
    assert "changed=0" in play(tmp_path, inventory, {"ssh": False}), "and the host is reached as before"


def test_a_reboot_before_the_confirmation_takes_the_change_back(lab, tmp_path):
    host, inventory = over(lab)
    host.shell("tailscale set --hostname=old")
    # What the controller would confirm is confirmed, and its program stays on the host.
    said = play(tmp_path, inventory, {"hostname": "new", "confirm": {"timeout": 60}}, "-v")
    assert "confirmed over a new connection" in said, said[-3000:]
    host.shell("tailscale set --hostname=old")
    script = (
        "import sys; sys.path.insert(0, '/var/lib/bulkhead/tailscale/guard.py')\n"
        "from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.guard import Change, Guard\n"
        "from ansible_collections.bulkhead.tiers.plugins.module_utils.local import now\n"
        "Guard().arm(Change('abcd', now() + 3600, undo={'Hostname': 'old', 'HostnameSet': True}))\n"
    )
    host.put("/srv/arm.py", script)
    host.shell("python3 /srv/arm.py; tailscale set --hostname=new; iptables -P INPUT ACCEPT; iptables -F INPUT")
    host.reboot()
    wait(host.answers, 60, what="tailscaled answers")
    wait(lambda: host.prefs()["Hostname"] == "old", 60, what="the boot takes the change back")
    assert (
        host.shell(
            "ls /var/lib/bulkhead/tailscale/change.json /etc/systemd/system/tailscaled.service.d/50-bulkhead-back.conf",
            check=False,
        )
        == ""
    )
