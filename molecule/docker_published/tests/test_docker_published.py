"""What really reaches a published port: from the allowed address, from another one of the same subnet, from outside.

Each host is the other one's client. The kinds of ports are those of Docker: a bridge network's (TCP and UDP, IPv4 and
IPv6), a service's in mode host, a service's in the ingress network (simulated where the kernel has no IPVS, see
files/ingress); and the container's own address, with no port published.
"""

from __future__ import annotations

import concurrent.futures
import time

import pytest
import testinfra
import yaml

HOSTS = ("scratch12", "scratch13")
ASK = "/usr/local/lib/docker_published/ask.py"
KINDS = {
    4: {"bridge": "tcp/{}/{}/8080", "udp": "udp/{}/{}/8080", "host": "tcp/{}/{}/8081", "ingress": "tcp/{}/{}/8082"},
    6: {"bridge6": "tcp/{}/{}/8080", "udp6": "udp/{}/{}/8080"},
}
DIRECT = {4: "direct", 6: "direct6"}
CONTAINER = {4: ".IPAddress", 6: ".GlobalIPv6Address"}
SOURCES = ("allowed", "other", "outside")
AS_LISTED = {f"allowed-{kind}" for kinds in KINDS.values() for kind in kinds}
EVERYTHING = {
    f"{source}-{kind}" for source in SOURCES for kinds in (*KINDS.values(), DIRECT.values()) for kind in kinds
}
# A Swarm that starts again hands out its tasks anew.
PATIENCE = 60

testinfra_hosts = ["ansible://scratch12"]


class Pair:
    """Both hosts, and what happens to them at the same time."""

    def __init__(self, inventory):
        self.hosts = {name: testinfra.get_host(f"ansible://{name}", ansible_inventory=inventory) for name in HOSTS}
        variables = {name: host.ansible.get_variables() for name, host in self.hosts.items()}
        self.containers = [variables[name]["ansible_host"] for name in HOSTS]
        self.addresses = {name: variables[name]["lab_addresses"]["scratch"] for name in HOSTS}

    def each(self, *commands):
        """Run shell commands on both hosts: {host: output of the last one}."""
        with concurrent.futures.ThreadPoolExecutor(len(self.hosts)) as pool:
            jobs = {name: pool.submit(host.check_output, " && ".join(commands)) for name, host in self.hosts.items()}
            return {name: job.result() for name, job in jobs.items()}

    def sources(self, name, family=4):
        """The addresses that a host asks from."""
        address = self.addresses[name]
        last = address.rpartition(".")[2]
        if family == 6:
            return {"allowed": f"fd00:99::{last}", "other": f"fd00:99::1{last}", "outside": f"fd00:203::{last}"}
        return {"allowed": address, "other": address.replace(f".{last}", f".1{last}"), "outside": f"203.0.113.{last}"}

    def prepare(self):
        """What a restart forgets: the other addresses, the way back to them, the stand-in for IPVS."""
        for name, peer in (HOSTS, HOSTS[::-1]):
            own, theirs = self.sources(name), self.sources(peer)
            self.hosts[name].check_output(
                f"ip address replace {own['other']}/24 dev eth0 && ip address replace {own['outside']}/32 dev lo"
                f" && ip route replace {theirs['outside']} via {theirs['allowed']}"
                f" && ip route replace 10.98.0.0/24 via {theirs['allowed']} table 98"
                f" && (ip rule show | grep -q 'lookup 98' || ip rule add to 10.98.0.0/24 iif lo lookup 98)"
            )
            own, theirs = self.sources(name, 6), self.sources(peer, 6)
            self.hosts[name].check_output(
                "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0"
                f" && ip address replace {own['allowed']}/64 dev eth0 nodad"
                f" && ip address replace {own['other']}/64 dev eth0 nodad && ip address replace {own['outside']}/128 dev lo"
                f" && ip route replace {theirs['outside']} via {theirs['allowed']}"
                f" && ip route replace fd00:98:0:{peer[-2:]}::/64 via {theirs['allowed']}"
            )
        self.each("timeout 120 /usr/local/lib/docker_published/ingress 8082")

    def reach(self, names=None):
        """{host: names of what reaches it}, asked from its peer; only these questions, or all."""
        found = {}
        for name, peer in (HOSTS, HOSTS[::-1]):
            questions = {}
            for family, kinds in KINDS.items():
                container = self.hosts[name].check_output(
                    "docker inspect --format '{{.NetworkSettings.Networks.bridge%s}}' published" % CONTAINER[family]
                )
                host = self.sources(name, family)["allowed"]
                for source, address in self.sources(peer, family).items():
                    questions.update({f"{source}-{kind}": form.format(address, host) for kind, form in kinds.items()})
                    questions[f"{source}-{DIRECT[family]}"] = f"tcp/{address}/{container}/80"
            words = " ".join(f"{key}={text}" for key, text in questions.items() if names is None or key in names)
            found[name] = set(self.hosts[peer].check_output(f"python3 {ASK} {words}").split())
        return found

    def settle(self, expected):
        """Wait until all that is expected answers, then ask everything: {host: what reaches it}."""
        self.prepare()
        end = time.monotonic() + PATIENCE
        while any(found != expected for found in self.reach(expected).values()) and time.monotonic() < end:
            time.sleep(1)
        return self.reach()

    def clean(self):
        """Take down what converge.yml started and prepare() added, for the scenarios that use the hosts next."""
        self.hosts[HOSTS[0]].check_output("docker service rm published-host published-ingress")
        self.each(
            "docker rm --force published >/dev/null",
            "if [ -e /run/docker_published.pid ]; then kill $(cat /run/docker_published.pid); fi",
            "iptables -D FORWARD -j DOCKER-INGRESS && iptables -F DOCKER-INGRESS && iptables -t nat -F DOCKER-INGRESS",
            "ip rule del lookup 98 && ip route flush table 98",
            "ip -6 address flush dev eth0 && sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1",
        )


@pytest.fixture(name="pair", scope="module")
def fixture_pair(request):
    pair = Pair(request.config.getoption("ansible_inventory"))
    yield pair
    pair.clean()


@pytest.fixture(name="arguments", scope="module")
def fixture_arguments():
    """The arguments of the last task in converge.yml."""
    with open("converge.yml", encoding="utf-8") as file:
        return yaml.safe_load(file)[-1]["tasks"][0]["bulkhead.tiers.ufw_ruleset"]


def both(expected):
    return dict.fromkeys(HOSTS, expected)


def test_the_allowed_address_reaches_every_kind_of_published_port_and_nobody_else_any(pair):
    assert pair.settle(AS_LISTED) == both(AS_LISTED)


def test_the_same_after_a_restart_of_docker(pair):
    pair.each("systemctl restart docker")
    assert pair.settle(AS_LISTED) == both(AS_LISTED)


def test_two_reloads_by_ufw_itself_repeat_nothing(pair):
    count = "iptables-save -t filter | grep -v '^#' | sed 's/\\[.*//'; ip6tables-save | grep -v '^#' | sed 's/\\[.*//'"
    before = pair.each(count)
    assert pair.each("ufw reload", "ufw reload >/dev/null", count) == {
        name: f"Firewall reloaded\n{text}" for name, text in before.items()
    }
    assert pair.reach() == both(AS_LISTED)


def test_the_same_when_docker_starts_first_and_ufw_after_it(pair):
    pair.each("ufw disable", "systemctl restart docker", "ufw --force enable")
    assert pair.settle(AS_LISTED) == both(AS_LISTED)


def test_the_same_after_a_restart_of_the_host_where_ufw_starts_first(pair):
    local = testinfra.get_host("local://")
    local.check_output(f"docker restart {' '.join(pair.containers)}")
    pair.each("timeout 120 sh -c 'until docker info >/dev/null 2>&1; do sleep 0.5; done'")
    assert pair.settle(AS_LISTED) == both(AS_LISTED)


def test_after_all_that_the_module_has_nothing_to_do(arguments, run_module):
    for name in HOSTS:
        answer = run_module(name, "bulkhead.tiers.ufw_ruleset", arguments, check=True)
        assert (answer["changed"], answer["drift"]) == (False, [])


def test_a_hole_that_somebody_made_is_found_and_closed(pair, arguments, run_module):
    pair.each("iptables -D FORWARD -j DOCKER-USER", "iptables -A FORWARD -j DOCKER-USER", "iptables -F bulkhead-docker")
    pair.each("ip6tables -t security -F FORWARD", "ip6tables -F bulkhead-docker")
    assert pair.reach({"other-bridge", "other-bridge6"}) == both({"other-bridge", "other-bridge6"}), (
        "the holes are real"
    )
    for name in HOSTS:
        answer = run_module(name, "bulkhead.tiers.ufw_ruleset", arguments, check=False)
        assert any("before DOCKER-USER" in line for line in answer["drift"]), answer["drift"]
        assert any("table security: FORWARD lacks" in line for line in answer["drift"]), answer["drift"]
    assert pair.reach() == both(AS_LISTED)


def test_absent_opens_all_of_it_again_and_leaves_no_trace(pair, run_module):
    for name in HOSTS:
        answer = run_module(name, "bulkhead.tiers.ufw_ruleset", {"docker": {"state": "absent"}}, check=False)
        assert any("8082" in line for line in answer["removed"]) and answer["added"] == []
    assert pair.reach() == both(EVERYTHING)
    same = "cmp /etc/ufw/{0} /usr/share/ufw/iptables/{0}".format
    rules = pair.each(same("after.rules"), same("after6.rules"), "iptables-save; echo; ip6tables-save")
    assert not any("bulkhead" in text for text in rules.values())
    # 20.10 has none for IPv6.
    assert {name: text.count("-A DOCKER-USER") for name, text in rules.items()} == {"scratch12": 1, "scratch13": 2}
    assert not any("-A" in text.partition("*security")[2].partition("COMMIT")[0] for text in rules.values())
