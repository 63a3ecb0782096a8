"""What a container that shares its machine's kernel cannot show: tags on a wire, IPVS, WireGuard in the kernel."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading

import pytest
from vms import CUTTING, VLANS, wait_for

TAGS = {"front": 20, "workers": 40}


def test_the_machines_have_a_kernel_of_their_own(vm1, vm2):
    own = subprocess.run(["uname", "-r"], capture_output=True, text=True, check=True).stdout.strip()
    for vm in (vm1, vm2):
        assert "cloud" in vm.out("uname -r") and vm.out("uname -r") != own


def test_each_tier_has_an_802_1q_interface_with_its_vlan_id_on_the_trunk(vm1, vm2):
    for vm in (vm1, vm2):
        links = {link["ifname"]: link for link in json.loads(vm.out("ip -json -details address show type vlan"))}
        for tier, number in TAGS.items():
            link = links[f"eth1.{number}"]
            assert link["link"] == "eth1" and link["linkinfo"]["info_data"]["id"] == number
            assert [address["local"] for address in link["addr_info"]] == [getattr(vm, tier)]
        assert "eth1.10" not in links, "the tier `control` comes in without a tag"


@pytest.mark.parametrize("tier", TAGS)
def test_packets_of_a_tier_carry_its_tag_on_the_wire(vm1, vm2, tier):
    seen = []
    command = f"timeout 60 tcpdump -i eth1 -nn -e -c 2 'vlan {TAGS[tier]} and icmp' 2>/dev/null"
    thread = threading.Thread(target=lambda: seen.append(vm2.run(command, check=False).stdout))
    thread.start()
    wait_for(lambda: vm1.run(f"ping -c 2 -W 5 {getattr(vm2, tier)}", check=False) and not thread.is_alive(), 60)
    thread.join()
    assert "802.1Q (0x8100), length" in seen[0] and f"vlan {TAGS[tier]}, p 0, ethertype IPv4" in seen[0]


def test_without_its_tag_an_address_of_a_tier_is_not_reached(vm1, vm2):
    vm1.run(
        f"ip link add link eth1 name wrong type vlan id 21 && ip link set wrong up && ip route add {vm2.front}/32 dev wrong"
    )
    try:
        assert vm1.run(f"ping -c 2 -W 3 {vm2.front}", check=False).returncode == 1
    finally:
        vm1.run("ip link delete wrong")
    assert wait_for(lambda: not vm1.run(f"ping -c 1 -W 3 {vm2.front}", check=False).returncode, 30)


def test_the_ingress_mesh_answers_on_the_node_that_has_no_task_where_a_flow_allows_it(vm1, vm2):
    # The task is on vm2: asked on vm1, the answer crosses IPVS and the overlay.
    # The service was made a moment ago: its image, its networks and the overlay between the nodes come first.
    assert wait_for(lambda: vm2.get(f"http://{vm1.front}:8080/").stdout.strip() == "vm2", 600)
    assert "FWM" in vm1.out("nsenter --net=/run/docker/netns/ingress_sbox ipvsadm -Ln")


def test_the_published_port_that_no_flow_allows_is_blocked_and_it_is_the_rule_that_does_it(vm1, vm2):
    assert vm2.get(f"http://{vm1.front}:8081/").returncode == 28
    vm1.run("iptables -I DOCKER-USER -p tcp -j ACCEPT")
    try:
        assert wait_for(lambda: vm2.get(f"http://{vm1.front}:8081/").stdout.strip() == "vm2", 60)
    finally:
        vm1.run("iptables -D DOCKER-USER -p tcp -j ACCEPT")
    assert vm2.get(f"http://{vm1.front}:8081/").returncode == 28


def test_the_port_that_is_open_in_front_is_blocked_over_the_swarms_own_tier_and_from_outside(vm1, vm2):
    assert vm2.get(f"http://{vm1.workers}:8080/").returncode == 28
    for vm in (vm1, vm2):
        done = subprocess.run(
            ["curl", "-sS", "--noproxy", "*", "--max-time", "8", f"http://{vm.control}:8080/"], check=False
        )
        assert done.returncode == 28


def test_a_services_virtual_address_is_balanced_by_ipvs_across_the_nodes(vm1):
    found = json.loads(vm1.out("docker service inspect web --format '{{json .Endpoint.VirtualIPs}}'"))
    network = vm1.out("docker network inspect apps --format '{{.Id}}'")
    address = next(entry["Addr"].partition("/")[0] for entry in found if entry["NetworkID"] == network)

    def answer(command):
        """What the machine prints, once it prints anything."""

        def printed():
            return vm1.run(command, check=False).stdout.strip()

        return wait_for(printed)

    asker = answer("docker inspect -f '{{.State.Pid}}' $(docker ps -q -f name=asker)")
    assert answer(f"nsenter -n -t {asker} curl -sS --max-time 8 http://{address}/") == "vm2"


def test_the_overlay_stands_on_the_swarms_flow_alone(vm1, vm2):
    vm2.run("iptables -I INPUT -i eth1.40 -p udp --dport 4789 -j DROP")
    try:
        assert vm2.get(f"http://{vm1.front}:8080/").returncode == 28
    finally:
        vm2.run("iptables -D INPUT -i eth1.40 -p udp --dport 4789 -j DROP")
    assert wait_for(lambda: vm2.get(f"http://{vm1.front}:8080/").stdout.strip() == "vm2")


@pytest.mark.parametrize(("port", "passes"), [(51820, True), (51821, False)])
def test_wireguard_in_the_kernel_has_a_handshake_at_the_port_of_the_flow_and_at_no_other(vm1, vm2, port, passes):
    keys = {}
    for vm in (vm1, vm2):
        vm.run("umask 077; mkdir -p /run/wg; wg genkey >/run/wg/key; wg pubkey </run/wg/key >/run/wg/public")
        keys[vm.name] = vm.out("cat /run/wg/public")
    try:
        for vm, peer in ((vm1, vm2), (vm2, vm1)):
            vm.run(
                f"ip link add wg0 type wireguard && wg set wg0 listen-port {port} private-key /run/wg/key peer {keys[peer.name]} "
                f"endpoint {peer.workers}:{port} allowed-ips 10.99.0.0/24 && ip address add 10.99.0.1{vm.name[-1]}/24 dev wg0 && "
                "ip link set wg0 up"
            )
        pinged = wait_for(
            lambda: not vm1.run("ping -c 2 -W 4 10.99.0.12", check=False).returncode, 60 if passes else 12
        )
        handshake = int(vm1.out("wg show wg0 latest-handshakes").split()[-1])
        assert (bool(pinged), handshake > 0) == (passes, passes)
    finally:
        for vm in (vm1, vm2):
            vm.run("ip link delete wg0; rm -rf /run/wg", check=False)


def test_interfaces_that_cut_the_connection_are_taken_back_by_the_host(vm2, play):
    before = vm2.out(VLANS)
    change = json.dumps({**CUTTING, "confirm": {"timeout": 20}})
    said = play("vm2", "-b", "-m", "bulkhead.tiers.vlan_interfaces", "-a", change, check=False)
    # The answer of the module, or of the connection that broke under it.
    assert said.returncode, said.stdout
    assert "takes the change back by itself" in said.stdout or "was not confirmed" in said.stdout, said.stdout
    assert wait_for(lambda: vm2.over_a_new_connection(f"sudo sh -c {shlex.quote(VLANS)}") == before), vm2.out(VLANS)
    assert '"state": "back"' in vm2.out("python3 /var/lib/bulkhead/vlans/guard.py status")
