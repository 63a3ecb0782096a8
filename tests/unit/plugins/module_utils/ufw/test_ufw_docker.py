# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import docker_block, docker_input
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost, FakeTable, inform
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.test_ufw_ruleset_run import params

DATABASE = {"from_ip": "10.0.3.0/24", "proto": "tcp", "port": "5432", "comment": "Büro, 'apps'"}
WEB = {"proto": "tcp", "port": "80,443"}
SIX = {"from_ip": "2001:db8::/32", "to_ip": "2001:db8:1::1", "port": "53"}
LIST = [DATABASE, {"rule": "deny", "from_ip": "10.0.0.0/8"}, WEB, SIX]
WISH = {"published": LIST}
AFTER = "/etc/ufw/after.rules"
AFTER6 = "/etc/ufw/after6.rules"
# What Docker has in the filter table of a host with one bridge.
DOCKER_FORWARD = ["-j DOCKER-USER", "-j DOCKER-ISOLATION-STAGE-1", "-o docker0 -j DOCKER", "-i docker0 -j ACCEPT"]


@pytest.fixture(name="host", params=["debian12", "debian13"])
def fixture_host(tmp_path, request):
    return FakeHost(tmp_path, request.param)


def start_docker(host, families=(4, 6)):
    """What the engine does to the kernel: it makes its chain if it is missing, and jumps to it first."""
    for family in families:
        chains = host.tables[family].chains
        for name in ("DOCKER", "DOCKER-ISOLATION-STAGE-1", "DOCKER-USER"):
            chains.setdefault(name, [])
        if "-j RETURN" not in chains["DOCKER-USER"]:
            chains["DOCKER-USER"].append("-j RETURN")
        chains["FORWARD"] = DOCKER_FORWARD + [rule for rule in chains["FORWARD"] if "DOCKER" not in rule]


def run(host, docker_wish, check=False, **more):
    return converge(host, params(docker=docker_wish, **more), check)


def mistakes(raw, **more):
    with pytest.raises(Refused) as found:
        docker_input.parse_docker(raw, more.pop("use_ipv6", True), **more)
    return found.value.errors


# -- what is loaded ----------------------------------------------------------------------------------------------------


def test_the_list_decides_by_the_published_port_and_the_rest_is_dropped(host):
    start_docker(host)
    assert run(host, WISH)["drift"] == [], "what is new is no drift"
    assert host.tables[4].chains["DOCKER-USER"] == [
        "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        "-i docker0 -o docker_gwbridge -m conntrack --ctstate DNAT -j bulkhead-docker",
        "-i docker0 -j RETURN",
        "-i docker_gwbridge -o docker_gwbridge -m conntrack --ctstate DNAT -j bulkhead-docker",
        "-i docker_gwbridge -j RETURN",
        "-i br-+ -o docker_gwbridge -m conntrack --ctstate DNAT -j bulkhead-docker",
        "-i br-+ -j RETURN",
        "-j bulkhead-docker",
        "-j RETURN",
    ]
    assert host.tables[4].chains["bulkhead-docker"] == [
        "-s 10.0.3.0/24 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 5432 --ctdir ORIGINAL -j RETURN",
        "-s 10.0.0.0/8 -m conntrack --ctstate DNAT --ctdir ORIGINAL -j DROP",
        "-p tcp -m conntrack --ctstate DNAT --ctorigdstport 80 --ctdir ORIGINAL -j RETURN",
        "-p tcp -m conntrack --ctstate DNAT --ctorigdstport 443 --ctdir ORIGINAL -j RETURN",
        "-m conntrack --ctstate DNAT -j DROP",
        "-o docker0 -j DROP",
        "-o docker_gwbridge -j DROP",
        "-o br-+ -j DROP",
    ]
    v6 = host.tables[6].chains["bulkhead-docker"]
    assert v6[0] == "-p tcp -m conntrack --ctstate DNAT --ctorigdstport 80 --ctdir ORIGINAL -j RETURN"
    assert (
        "-s 2001:db8::/32 -p udp -m conntrack --ctstate DNAT --ctorigdst 2001:db8:1::1 --ctorigdstport 53 "
        "--ctdir ORIGINAL -j RETURN"
    ) in v6
    assert not any("10.0." in rule for rule in v6)


def test_what_a_swarm_publishes_is_the_list_s_matter_from_containers_too(host):
    """Docker accepts it ahead of the isolation of its networks, and it is no port of one network's own members."""
    start_docker(host)
    run(host, WISH)
    to_the_list = "-o docker_gwbridge -m conntrack --ctstate DNAT -j bulkhead-docker"
    assert not any(to_the_list in rule for rule in host.tables[6].chains.get("DOCKER-USER", ())), (
        "IPv4 has ingress alone"
    )
    assert run(host, WISH)["changed"] is False
    # Without the Swarm's bridge there is nothing to hold apart, and a block of before is drift that is put right.
    run(host, {**WISH, "bridges": ["docker0"]})
    assert not any(to_the_list in rule for rule in host.tables[4].chains["DOCKER-USER"])
    run(host, WISH)
    text = host.file(AFTER).read_text()
    host.file(AFTER).write_text("".join(line for line in text.splitlines(True) if to_the_list not in line))
    answer = run(host, WISH)
    assert answer["changed"] and host.file(AFTER).read_text() == text


def test_an_interface_that_looks_like_dockers_is_sent_to_the_list_first_and_is_no_container(host):
    run(host, {"interfaces": ["br-lan"]})
    user, own = (host.tables[4].chains[name] for name in ("DOCKER-USER", "bulkhead-docker"))
    assert user.index("-i br-lan -j bulkhead-docker") < user.index("-i br-+ -j RETURN")
    assert own.index("-o br-lan -j RETURN") < own.index("-o br-+ -j DROP")


def test_an_entry_for_a_containers_own_address_lets_pass_what_is_not_translated(host):
    run(host, {"published": [{"routed": True, "to_ip": "172.20.0.20", "proto": "tcp", "port": "80:90"}]})
    assert host.tables[4].chains["bulkhead-docker"][0] == (
        "-d 172.20.0.20 -p tcp --dport 80:90 -m conntrack ! --ctstate DNAT -j RETURN"
    )


def test_what_iptables_save_makes_of_the_lines_is_the_same_to_the_comparison(host):
    start_docker(host)
    run(host, {"published": [dict(WEB, to_ip="10.0.3.5", from_ip="10.0.1.9"), SIX, {"routed": True, **DATABASE}]})
    for family, end in ((4, "/32"), (6, "/128")):
        chain = host.tables[family].chains["bulkhead-docker"]
        for place, rule in enumerate(chain):
            words = [
                word + end if before in ("-s", "--ctorigdst") and "/" not in word else word
                for before, word in zip(["", *rule.split()], rule.split())
            ]
            chain[place] = " ".join(words).replace("--dport", "-m tcp --dport")
    assert any("--ctorigdst 10.0.3.5/32" in rule for rule in host.tables[4].chains["bulkhead-docker"])
    assert run(host, None)["changed"] is False


def test_the_files_hold_one_block_and_their_own_text_as_it_was(host):
    before = {path: host.file(path).read_text() for path in (AFTER, AFTER6)}
    run(host, WISH)
    run(host, {"published": [WEB]})
    for path, text in before.items():
        now = host.file(path).read_text()
        assert now.startswith(text) and now.count("# BEGIN bulkhead.tiers") == now.count("# END bulkhead.tiers") == 1


def test_the_added_and_removed_lines_name_the_entries(host):
    added = run(host, WISH)["added"]
    assert added == [
        "docker: published ports by the list, IPv4 and IPv6, bridges docker0, docker_gwbridge, br-+",
        "published allow proto tcp from 10.0.3.0/24 to any port 5432  # Büro, 'apps'",
        "published deny from 10.0.0.0/8 to any",
        "published allow proto tcp from any to any port 80",
        "published allow proto tcp from any to any port 443",
        "published allow proto tcp from 2001:db8::/32 to 2001:db8:1::1 port 53",
        "published allow proto udp from 2001:db8::/32 to 2001:db8:1::1 port 53",
    ]
    result = run(host, {"published": LIST[1:]})
    assert (result["added"], result["removed"]) == ([], [added[1]])
    assert added[1] in result["diff"]["before"] and added[1] not in result["diff"]["after"]


def test_another_order_of_the_list_is_a_change(host):
    run(host, {"published": [DATABASE, WEB]})
    result = run(host, {"published": [WEB, DATABASE]})
    assert (result["changed"], result["reordered"], result["added"], result["removed"]) == (True, True, [], [])


# -- again, check mode, absent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("starts", ["before", "after", "never"])
def test_a_second_run_changes_nothing_whenever_docker_starts(host, starts):
    if starts == "before":
        start_docker(host)
    run(host, WISH)
    if starts == "after":
        start_docker(host)
    result = run(host, WISH)
    assert (result["changed"], result["drift"], result["added"], result["removed"]) == (False, [], [], [])
    assert converge(host, params(), False)["changed"] is False, "without the option it is left alone"


def test_check_mode_returns_what_a_run_returns_and_touches_nothing(host):
    start_docker(host)
    before = host.snapshot()
    checked = run(host, WISH, check=True)
    assert host.snapshot() == before
    assert checked == run(host, WISH)


@pytest.mark.parametrize("with_docker", [True, False])
def test_absent_leaves_no_trace(host, with_docker):
    if with_docker:
        start_docker(host)
    before = host.snapshot()
    run(host, WISH)
    result = run(host, {"state": "absent"})
    assert result["changed"] is True and len(result["removed"]) == 7
    assert host.snapshot() == before
    assert run(host, {"state": "absent"})["changed"] is False


def test_absent_lets_rules_of_others_in_dockers_chain_be(host):
    start_docker(host)
    host.tables[4].step("-I DOCKER-USER -s 192.0.2.1 -j DROP")
    before = host.snapshot()
    assert run(host, {"state": "absent"})["changed"] is False
    assert host.snapshot() == before


def test_rules_of_others_in_dockers_chain_are_shown_and_make_room(host):
    start_docker(host)
    host.tables[4].step("-I DOCKER-USER -s 192.0.2.1 -j DROP")
    assert run(host, WISH)["removed"] == ["IPv4 DOCKER-USER: -s 192.0.2.1 -j DROP"]
    assert not any("192.0.2.1" in rule for rule in host.tables[4].chains["DOCKER-USER"])


def test_with_ufw_off_published_ports_are_open_like_all_the_others(host):
    start_docker(host)
    run(host, WISH)
    run(host, None, state="disabled")
    assert host.tables[4].chains.get("DOCKER-USER", ["-j RETURN"]) in (["-j RETURN"], [])
    assert "bulkhead-docker" not in host.tables[4].chains
    assert inform(host)["docker"]["state"] == "present", "the files keep it for the day that ufw is on again"


def test_a_load_that_fails_brings_back_the_chain_of_before(host):
    start_docker(host)
    host.tables[4].step("-I DOCKER-USER -s 192.0.2.1 -j DROP")
    before = host.snapshot()
    run_command = host.run

    def fail(argv, stdin=""):
        loads = argv[0] == "ip6tables-restore" and "--test" not in argv
        host.fail = {"ip6tables-restore": "no"} if loads and "bulkhead-docker" in stdin else {}
        return run_command(argv, stdin)

    host.run = fail
    with pytest.raises(RulesetError):
        run(host, WISH)
    rules = {name: value for name, value in before.items() if "bulkhead" not in name}
    assert {name: value for name, value in host.snapshot().items() if name in rules} == rules


# -- drift -------------------------------------------------------------------------------------------------------------


def test_a_rule_that_somebody_put_into_the_chain_is_found_and_removed(host):
    start_docker(host)
    run(host, WISH)
    host.tables[4].step("-I DOCKER-USER -j ACCEPT")
    assert inform(host)["drift"] == ["IPv4 kernel: DOCKER-USER has -j ACCEPT"]
    assert run(host, None)["drift"] == ["IPv4 kernel: DOCKER-USER has -j ACCEPT"]
    assert run(host, WISH)["changed"] is False


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (DOCKER_FORWARD[1:], "FORWARD does not jump to DOCKER-USER"),
        (["-j DOCKER-INGRESS", *DOCKER_FORWARD], "FORWARD jumps to DOCKER-INGRESS before DOCKER-USER"),
        (["-j DOCKER-FORWARD", "-j DOCKER-USER"], "FORWARD jumps to DOCKER-FORWARD before DOCKER-USER"),
    ],
)
def test_a_jump_that_is_missing_or_comes_too_late_is_put_first(host, forward, message):
    start_docker(host)
    run(host, WISH)
    own = [rule for rule in host.tables[4].chains["FORWARD"] if "DOCKER" not in rule and "docker" not in rule]
    host.tables[4].chains["FORWARD"] = forward + own
    assert run(host, WISH)["drift"] == [f"IPv4 kernel: {message}"]
    chain = host.tables[4].chains["FORWARD"]
    assert chain[0] == "-j DOCKER-USER" and chain.count("-j DOCKER-USER") == 1
    assert run(host, WISH)["changed"] is False


def test_a_block_that_was_edited_is_written_anew(host):
    run(host, WISH)
    path = host.file(AFTER)
    path.write_text(path.read_text().replace("--ctorigdstport 5432", "--ctorigdstport 5433").replace("-p tcp -m", "-m"))
    host.tables[4].chains["bulkhead-docker"] = []
    result = run(host, WISH)
    assert any("5433" in line for line in result["removed"])
    assert "--ctorigdstport 5432" in path.read_text()
    assert run(host, WISH)["changed"] is False


def test_two_blocks_become_one(host):
    run(host, WISH)
    path = host.file(AFTER)
    text = path.read_text()
    path.write_text(text + text[text.index("# BEGIN bulkhead") :])
    assert run(host, WISH)["changed"] is True
    assert path.read_text() == text


def test_a_block_without_its_end_is_refused(host):
    run(host, WISH)
    path = host.file(AFTER)
    path.write_text(path.read_text().replace("# END bulkhead.tiers docker\n", ""))
    with pytest.raises(RulesetError, match="END"):
        run(host, WISH)


def test_a_block_of_another_program_is_refused_whatever_file_it_is_in(host):
    for name in (AFTER, "/etc/ufw/before.rules"):
        path = host.file(name)
        text = path.read_text()
        path.write_text(text + "*filter\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -j RETURN -s 10.0.0.0/8\nCOMMIT\n")
        with pytest.raises(RulesetError, match="ufw-docker uninstall") as found:
            run(host, WISH)
        assert name in str(found.value)
        path.write_text(text)
    assert run(host, WISH)["changed"] is True


# -- the export --------------------------------------------------------------------------------------------------------

_ends = st.sampled_from(["any", "10.0.1.0/24", "10.0.2.5", "0.0.0.0/0", "2001:db8::/32", "fd00::1", "::/0"])
_items = st.fixed_dictionaries(
    {},
    optional={
        "rule": st.sampled_from(["allow", "deny", "limit"]),
        "routed": st.booleans(),
        "proto": st.sampled_from(["any", "tcp", "udp", "sctp"]),
        "from_ip": _ends,
        "to_ip": _ends,
        "port": st.sampled_from(["80", "80,443", "8000:8100"]),
        "comment": st.sampled_from(["Büro", "# BEGIN bulkhead.tiers docker", "-A bulkhead-docker", "COMMIT"]),
    },
)


@given(st.lists(_items, max_size=5), st.sampled_from([None, ["docker0", "gough-br0"]]), st.booleans())
def test_a_block_that_is_read_back_is_the_one_that_was_written(items, bridges, lan):
    raw = {"published": items, "interfaces": ["br-lan"] if lan else []}
    raw.update({"bridges": bridges} if bridges else {})
    try:
        wish = docker_input.parse_docker(raw, True)
    except Refused:
        return
    for family, block in wish.blocks.items():
        text = docker_block.edit("*filter\nCOMMIT\n", block)
        assert docker_block.read_block(text, family) == block
        assert docker_block.edit(text, block) == text
        assert docker_block.edit(text, None) == "*filter\nCOMMIT\n"


def test_what_is_exported_changes_nothing_when_it_is_applied(host):
    run(host, {"published": [*LIST, {"from_ip": "0.0.0.0/0", "port": "22"}], "interfaces": ["br-lan"]})
    exported = inform(host)["docker"]
    assert exported["interfaces"] == ["br-lan"]
    assert {"rule": "allow", "from_ip": "0.0.0.0/0", "proto": "tcp", "port": "22"} in exported["published"]
    assert run(host, exported)["changed"] is False


# -- the host ----------------------------------------------------------------------------------------------------------


def daemon_json(host, text):
    folder = host.file("/etc/docker")
    folder.mkdir(exist_ok=True)
    (folder / "daemon.json").write_text(text)


def command_line(host, *words):
    host.file("/run/docker.pid").write_text("77\n")
    host.file("/proc/77").mkdir(parents=True, exist_ok=True)
    host.file("/proc/77/cmdline").write_text("\0".join(("/usr/sbin/dockerd", *words)) + "\0")


def test_the_nftables_backend_is_refused_and_nothing_is_touched(host):
    before = host.snapshot()
    daemon_json(host, '{"firewall-backend": "nftables"}')
    with pytest.raises(RulesetError, match="firewall-backend"):
        run(host, WISH)
    daemon_json(host, "{}")
    command_line(host, "--firewall-backend=nftables")
    with pytest.raises(RulesetError, match="firewall-backend"):
        run(host, WISH)
    assert {path: text for path, text in host.snapshot().items() if path in before} == before
    assert run(host, {"state": "absent"})["changed"] is False


def test_iptables_off_in_dockers_settings_is_a_warning_that_says_what_it_breaks(host):
    daemon_json(host, '{"iptables": false, "ip6tables": false}')
    (warning,) = run(host, WISH)["warnings"]
    assert "masquerading" in warning and "docker-proxy" in warning
    daemon_json(host, "{}")
    command_line(host, "--iptables=false")
    assert len(run(host, WISH)["warnings"]) == 1
    command_line(host, "-H", "fd://")
    assert run(host, WISH)["warnings"] == []


def test_without_ipv6_in_ufw_the_list_holds_for_ipv4_alone_and_says_so(host):
    result = run(host, {"published": [WEB]}, ipv6=False)
    assert any("IPv4 alone" in warning for warning in result["warnings"])
    assert "bulkhead-docker" not in host.tables[6].chains
    assert "bulkhead" not in host.file(AFTER6).read_text()
    assert run(host, {"published": [WEB]})["changed"] is False
    with pytest.raises(Refused, match=r"docker.published\[0\].from_ip"):
        run(host, {"published": [SIX]})


# -- IPv6's last word --------------------------------------------------------------------------------------------------


def start_old_docker(host):
    """Engine 20.10 with ip6tables: IPv6 rules before all others, and no DOCKER-USER."""
    start_docker(host, (4,))
    forward = [rule for rule in host.tables[6].chains["FORWARD"] if rule not in DOCKER_FORWARD[1:]]
    host.tables[6].chains["FORWARD"] = DOCKER_FORWARD[1:] + forward
    host.tables[6].chains.update({"DOCKER": [], "DOCKER-ISOLATION-STAGE-1": []})


def test_an_engine_without_a_chain_for_ipv6_changes_nothing_whenever_it_starts(host):
    start_old_docker(host)
    assert run(host, WISH)["warnings"] == []
    start_old_docker(host)
    assert run(host, WISH)["changed"] is False
    assert "-j DOCKER-USER" not in host.tables[6].chains["FORWARD"], "no jump that the next start puts behind"


def test_the_security_table_says_for_ipv6_what_the_chain_of_docker_says(host):
    run(host, WISH)
    security, chains = host.security.chains, host.tables[6].chains
    assert security["FORWARD"] == chains["DOCKER-USER"][:-1], "all but Docker's own RETURN"
    assert security["bulkhead-docker"] == chains["bulkhead-docker"]
    text = host.file(AFTER6).read_text()
    assert "*security\n:FORWARD ACCEPT [0:0]\n:bulkhead-docker - [0:0]\n-F FORWARD\n" in text
    assert "security" not in host.file(AFTER).read_text(), "IPv4 has DOCKER-USER in every engine"


def test_it_is_compared_and_mended_like_the_rest(host):
    run(host, WISH)
    wanted = host.security.save()
    host.security.step("-I FORWARD -j ACCEPT")
    assert inform(host)["drift"] == ["IPv6 kernel: table security: FORWARD has -j ACCEPT"]
    assert run(host, None)["changed"] is True, "the block stays without the option, and so does what it says"
    host.security = FakeTable("", "security")
    assert "IPv6 kernel: table security: chain bulkhead-docker is missing" in run(host, WISH, check=True)["drift"]
    assert "bulkhead" not in host.security.save(), "check mode"
    run(host, WISH)
    host.security.policies["FORWARD"] = "DROP"
    run(host, WISH)
    assert host.security.save() == wanted
    assert run(host, WISH)["changed"] is False


@pytest.mark.parametrize("end", [{"docker_wish": {"state": "absent"}}, {"docker_wish": None, "state": "disabled"}])
def test_absent_and_disabled_leave_no_trace_of_it(host, end):
    start_old_docker(host)
    before = host.security.save(), list(host.tables[6].chains)
    run(host, WISH)
    assert "bulkhead-docker" in host.security.chains
    run(host, **end)
    assert host.security.save() == before[0]
    assert end.get("state") or list(host.tables[6].chains) == before[1]


def test_ipv6_switched_off_in_ufw_takes_it_out(host):
    run(host, {"published": [WEB]})
    run(host, None, ipv6=False)
    assert "bulkhead-docker" not in host.security.chains
    assert host.security.chains["FORWARD"] == []


def test_rules_of_others_in_the_chain_are_refused_and_stay(host):
    host.security.step("-A FORWARD -j SECMARK --selctx x")
    before = host.snapshot()
    with pytest.raises(RulesetError, match="mangle"):
        run(host, WISH)
    assert {path: text for path, text in host.snapshot().items() if path in before} == before
    assert run(host, {"state": "absent"})["changed"] is False
    host.security.step("-F FORWARD")
    path = host.file("/etc/ufw/before6.rules")
    path.write_text(path.read_text() + "*security\n-A FORWARD -j SECMARK --selctx x\nCOMMIT\n")
    with pytest.raises(RulesetError, match="before6.rules.*mangle"):
        run(host, WISH)


@pytest.mark.parametrize("engine", [start_docker, start_old_docker])
def test_what_it_opens_and_closes_is_the_same_whichever_table_decides(host, engine):
    engine(host)
    host.tables[6].chains["DOCKER"] = ["-d fd00::2/128 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT"]

    def texts(port, kind):
        answer = run(host, {"published": [{"from_ip": "fd00::/16", "proto": "tcp", "port": port}]})
        return [entry["text"] for entry in answer[kind] if entry["family"] == 6 and entry["protocol"] == ["tcp"]]

    inside = "in on any but br-+,docker0,docker_gwbridge out on docker0"
    assert texts("8080", "closed") == [
        f"tcp 80 from any to fd00::2 {inside}",
        f"tcp 80 from any to fd00::2 first sent to port any but 8080 {inside}",
        f"tcp 80 from any but fd00::/16 to fd00::2 {inside}",
    ]
    assert texts("8080:8081", "opened") == [
        "tcp 80 from fd00::/16 to fd00::2 first sent to port 8081 in on any but docker0 out on docker0"
    ]


@pytest.mark.parametrize("loaded", ["the first", "both"])
def test_a_load_that_fails_takes_back_the_tables_that_were_loaded(host, loaded):
    before = host.snapshot()
    real = host.run

    def run_command(argv, stdin=""):
        if argv[0] != "ip6tables-restore" or "--test" in argv or "bulkhead-docker -m" not in stdin:
            return real(argv, stdin)
        done = real(argv, stdin.partition("*security")[0] if loaded == "the first" else stdin)
        return done._replace(status=1, err="security says no")

    host.run = run_command
    with pytest.raises(RulesetError, match="security says no"):
        run(host, WISH)
    assert {path: text for path, text in host.snapshot().items() if path in before} == before


def test_manage_builtins_is_refused(host):
    path = host.file("/etc/default/ufw")
    path.write_text(path.read_text().replace("MANAGE_BUILTINS=no", "MANAGE_BUILTINS=yes"))
    with pytest.raises(RulesetError, match="MANAGE_BUILTINS"):
        run(host, WISH)


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_all_mistakes_are_named_at_once_with_their_place(host):
    before = host.snapshot()
    with pytest.raises(Refused) as found:
        run(
            host,
            {
                "published": [
                    {"from_ip": "10.0.0.300"},
                    WEB,
                    {"proto": "tcp", "port": "70000", "rule": "reject"},
                    {"prot": "tcp"},
                    "80",
                    dict(WEB, rule="deny"),
                    {"from_ip": "10.0.0.1", "to_ip": "::1"},
                    {"proto": "esp", "port": "1"},
                ],
                "interfaces": ["eth 0"],
                "bridges": [],
            },
            rules=[{"rule": "allow", "to_port": "0"}],
        )
    places = [line.partition(": ")[0] for line in found.value.errors]
    assert places == [
        "rules[0].to_port",
        "docker.interfaces[0]",
        "docker.bridges",
        "docker.published[0].from_ip",
        "docker.published[2].rule",
        "docker.published[2].port",
        "docker.published[3].prot",
        "docker.published[4]",
        "docker.published[5]",
        "docker.published[6].to_ip",
        "docker.published[7].port",
    ]
    assert host.snapshot() == before


def test_an_interface_that_a_pattern_takes_for_dockers_must_be_named():
    present = ["eth0", "br-lan", "br-0123456789ab", "docker0"]
    (error,) = mistakes({}, present=present)
    assert error.startswith("docker.bridges: got br-+, which also takes br-lan;")
    for key in ({"interfaces": ["br-lan"]}, {"bridges": ["docker0", "br-lan", "br-+"]}, {"state": "absent"}):
        assert docker_input.parse_docker(key, True, present)


def test_odd_values_are_mistakes_and_no_crashes():
    assert mistakes("yes")[0].startswith("docker: got 'yes'")
    assert mistakes({"status": "absent"})[0].startswith("docker.status:")
    assert mistakes({"state": "gone"})[0].startswith("docker.state:")
    assert mistakes({"published": {}, "bridges": "docker0"})[0].startswith("docker.bridges:")
    assert mistakes({"state": "absent", "published": [WEB]})[0].startswith("docker.published:")
    assert docker_input.check_docker({"published": [{"port": "a b"}]})[0].path == "docker.published[0].port"


def test_a_limited_entry_is_counted_stopped_and_let_pass_and_reads_back_as_one(host):
    start_docker(host)
    wish = {"published": [{"rule": "limit", "proto": "tcp", "from_ip": "10.0.1.0/24", "port": 8080, "comment": "few"}]}
    result = run(host, wish)
    assert "published limit proto tcp from 10.0.1.0/24 to any port 8080  # few" in result["added"]
    match = (
        "-A bulkhead-docker -s 10.0.1.0/24 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 --ctdir ORIGINAL "
    )
    lines = host.read("/etc/ufw/after.rules").splitlines()
    place = lines.index("# -- few")
    assert lines[place + 1 : place + 4] == [
        f"{match}-m recent --set --name bulkhead-docker",
        f"{match}-m recent --update --seconds 30 --hitcount 6 --name bulkhead-docker -j DROP",
        f"{match}-j RETURN",
    ]
    assert not run(host, wish)["changed"]
    assert inform(host)["docker"]["published"] == [
        {"rule": "limit", "proto": "tcp", "from_ip": "10.0.1.0/24", "port": "8080", "comment": "few"}
    ]


def test_the_tables_of_ipv6_count_a_connection_each_in_a_list_of_its_own(host):
    start_docker(host)
    run(host, {"published": [{"rule": "limit", "proto": "tcp", "port": 8080}]})
    lists = [
        line.partition("--name ")[2].split()[0]
        for line in host.read("/etc/ufw/after6.rules").splitlines()
        if "--name" in line
    ]
    assert lists == ["bulkhead-docker"] * 2 + ["bulkhead-last"] * 2
