# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run while others change the firewall: what is proven is about the host that is changed, and nothing of theirs is lost."""

from __future__ import annotations

import sys

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import change as ufw_change
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import converge as ufw_converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import pending, ruleset, state
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import TRIES, converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.effect import NO_EFFECT
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.lockout import Session
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.review import Review
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import LOCK, OWN_LOCK
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost

SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
CAME_BY = Session(4, "10.0.1.7", 50123, "10.0.0.5", 22, "eth0")
USER = "/etc/ufw/user.rules"
#: What `ufw allow from 203.0.113.N` writes to the file, and loads.
TUPLE = "### tuple ### allow any any 0.0.0.0/0 any 203.0.113.%d in\n-A ufw-user-input -s 203.0.113.%d -j ACCEPT\n\n"


def params(**more):
    wish = {"state": "enabled", "default": None, "logging": None, "ipv6": None, "purge": False, "rules": [SSH]}
    return {**wish, "confirm": {"timeout": 0}, "rules": [SSH, {"rule": "deny", "from_ip": "10.77.0.0/16"}], **more}


@pytest.fixture(name="host")
def fixture_host(tmp_path):
    return FakeHost(tmp_path)


def ufw_allow(host, number):
    """As ufw's own command: the file and the kernel."""
    path = host.file(USER)
    text = path.read_text()
    path.write_text(text.replace("### END RULES ###", TUPLE % (number, number) + "### END RULES ###"))
    host.tables[4].step("-A ufw-user-input -s 203.0.113.%d -j ACCEPT" % number)


@pytest.fixture(name="meanwhile")
def fixture_meanwhile(monkeypatch):
    """Have others do something while a change is proven: ``act(number of the try)``, from 0."""

    def each_time(act):
        prove, tries = ufw_converge.prepare, []

        def prepare(*arguments, **more):
            ready = prove(*arguments, **more)
            act(len(tries))
            tries.append(more["describe"])
            return ready

        monkeypatch.setattr(ufw_converge, "prepare", prepare)
        return tries

    return each_time


def once(act):
    return lambda number: act() if number == 0 else None


# -- what they did is seen ---------------------------------------------------------------------------------------------


def test_a_rule_that_ufw_adds_while_a_change_is_proven_is_kept_in_the_file_and_in_the_kernel(host, meanwhile):
    tries = meanwhile(once(lambda: ufw_allow(host, 9)))
    result = converge(host, params(), False)
    assert len(tries) == 2
    assert "203.0.113.9" in host.file(USER).read_text() and "10.77.0.0/16" in host.file(USER).read_text()
    rules = host.tables[4].chains["ufw-user-input"]
    assert [rule for rule in rules if "203.0.113.9" in rule] and [rule for rule in rules if "10.77.0.0/16" in rule]
    assert "deny in from 10.77.0.0/16 to any" in result["added"] and result["drift"] == []
    assert converge(host, params(), False)["changed"] is False


def edit(name, old, new):
    def act(host):
        path = host.file(name)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return act


def table(name, family=4):
    source = "198.51.100.0/24" if family == 4 else "2001:db8::/64"
    return lambda host: host.table(family, name).step(f"-A PREROUTING -s {source} -j DROP")


MEANWHILE = {
    "a default policy": edit("/etc/default/ufw", 'DEFAULT_FORWARD_POLICY="DROP"', 'DEFAULT_FORWARD_POLICY="REJECT"'),
    "the log level": edit("/etc/ufw/ufw.conf", "LOGLEVEL=low", "LOGLEVEL=high"),
    "before.rules": edit(
        "/etc/ufw/before.rules", "\nCOMMIT\n", "\n-A ufw-before-input -s 198.51.100.1 -j DROP\nCOMMIT\n"
    ),
    "IPv6's file": edit("/etc/ufw/user6.rules", "### END RULES ###", "\n### END RULES ###"),
    "an after.init that ufw runs": lambda host: host.file("/etc/ufw/after.init").touch(0o755),
    "a rule of fail2ban": lambda host: host.tables[4].step("-I INPUT -s 198.51.100.7 -j REJECT"),
    "a chain of Docker": lambda host: host.tables[6].step(":DOCKER-USER - [0:0]"),
    "a policy": lambda host: host.tables[4].step(":FORWARD ACCEPT [0:0]"),
    "raw, which the proof is about": table("raw"),
    "mangle, which the proof is about": table("mangle"),
    "a table of nft": lambda host: setattr(host, "nft", "table inet site\n"),
}


@pytest.mark.parametrize("what", MEANWHILE)
def test_whatever_changes_while_a_change_is_proven_it_is_proven_again(host, meanwhile, monkeypatch, what):
    monkeypatch.setattr(ufw_change, "find_session", lambda host: CAME_BY)
    loaded = []
    run = host.run

    def watch(argv, stdin=""):
        if argv[0].endswith("-restore") and "--test" not in argv:
            loaded.append(len(tries))
        return run(argv, stdin)

    host.run = watch
    tries = meanwhile(once(lambda: MEANWHILE[what](host)))
    converge(host, params(), False)
    assert len(tries) == 2 and set(loaded) == {2}, what


def test_a_ban_that_shuts_this_connection_out_meanwhile_refuses_the_change(host, meanwhile, monkeypatch):
    monkeypatch.setattr(ufw_change, "find_session", lambda host: CAME_BY)
    meanwhile(once(lambda: host.tables[4].step("-I INPUT -s 10.0.1.7 -j DROP")))
    before = host.file(USER).read_text()
    with pytest.raises(RulesetError, match="would cut the connection of this task"):
        converge(host, params(), False)
    assert host.file(USER).read_text() == before


def test_what_others_do_to_a_table_that_no_proof_was_about_is_no_matter(host, meanwhile, monkeypatch):
    monkeypatch.setattr(ufw_change, "find_session", lambda host: None)
    tries = meanwhile(once(lambda: table("mangle")(host)))
    converge(host, params(), False)
    assert len(tries) == 1


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    "option",
    [
        {"flush_established": True},
        {"through": [{"host": "db1", "client": "10.0.0.7", "server": "10.0.9.9", "port": 22}]},
    ],
)
def test_a_table_of_either_family_that_something_was_decided_by_is_read_again(
    host, meanwhile, monkeypatch, option, family
):
    monkeypatch.setattr(ufw_change, "find_session", lambda host: None)
    tries = meanwhile(once(lambda: table("mangle", family)(host)))
    converge(host, params(rules=[SSH, {"rule": "deny", "to_port": "99"}], **option), False)
    assert len(tries) == 2


# -- it ends -----------------------------------------------------------------------------------------------------------


def test_against_others_who_never_stop_the_lock_is_held_in_the_end_and_the_answer_says_what_it_leaves_out(
    host, meanwhile
):
    held = []

    def act(number):
        held.append(LOCK in host.held)
        if not held[-1]:  # ufw waits for its lock
            ufw_allow(host, number)

    tries = meanwhile(act)
    result = converge(host, params(), False)
    assert held == [False] * TRIES + [True] and tries == [True] * TRIES + [False]
    text = host.file(USER).read_text()
    assert all("203.0.113.%d " % number in text for number in range(TRIES)) and "10.77.0.0/16" in text
    assert result["opened"] == [] and len(result["unlisted"]) == 2
    assert "not worked out" in result["unlisted"][0] and "not examined" in result["unlisted"][1]
    assert converge(host, params(), False)["changed"] is False


def test_flows_are_cut_even_then(host, meanwhile):
    meanwhile(lambda number: ufw_allow(host, number) if LOCK not in host.held else None)
    host.flows = "tcp 6 100 ESTABLISHED src=10.77.0.9 dst=10.0.0.5 sport=1 dport=22 src=10.0.0.5 dst=10.77.0.9 sport=22 dport=1\n"
    wish = [{"rule": "deny", "from_ip": "10.77.0.0/16", "position": "first"}]
    result = converge(host, params(rules=wish, flush_established=True), False)
    assert result["flushed"] == 1


def test_a_kernel_that_is_never_the_same_for_long_is_an_error_that_changes_nothing(host, meanwhile):
    tries = meanwhile(lambda number: host.tables[4].step("-I INPUT -s 198.51.100.%d -j REJECT" % number))
    files = {path: text for path, text in host.snapshot().items() if path.startswith("/")}
    with pytest.raises(
        RulesetError, match="the kernel's IPv4 rules changed again each of 4 times; nothing was changed"
    ):
        converge(host, params(), False)
    assert len(tries) == TRIES + 1
    assert {path: text for path, text in host.snapshot().items() if path.startswith("/")} == files
    assert not [line for line in host.ran if "restore" in line and "--test" not in line]
    assert not host.held


# -- which lock is held when -------------------------------------------------------------------------------------------


def test_ufws_lock_is_held_to_read_and_to_change_and_not_to_work_it_out(host, monkeypatch):
    monkeypatch.setattr(ufw_change, "find_session", lambda host: CAME_BY)
    held = []

    def watch(module, name, what):
        original = getattr(module, name)

        def call(*arguments, **more):
            held.append((what, OWN_LOCK in host.held, LOCK in host.held))
            return original(*arguments, **more)

        monkeypatch.setattr(module, name, call)

    watch(pending, "_change", "an earlier change")
    watch(state, "start_reading", "read")
    watch(state, "read_rules", "parse")
    watch(ruleset, "make_plan", "plan")
    watch(ufw_change, "prove", "prove")
    watch(ufw_change, "effect_of", "describe")
    watch(ufw_converge, "review", "examine")
    watch(ufw_change, "what_changed", "compare")
    watch(ufw_change, "_apply", "apply")
    converge(host, params(), False)
    assert all(own for _what, own, _ufws in held)
    assert dict.fromkeys(what for what, _own, ufws in held if not ufws) == dict.fromkeys(
        ["an earlier change", "parse", "plan", "prove", "describe", "examine"]
    )
    assert [what for what, _own, ufws in held if ufws] == ["read", "compare", "read", "apply"]
    assert not host.held


def test_check_mode_and_a_run_without_a_change_hold_ufws_lock_only_to_read(host, monkeypatch):
    monkeypatch.setattr(ufw_converge, "carry_out", None)
    assert converge(host, params(), True)["changed"] is True
    monkeypatch.setattr(ufw_converge, "prepare", None)
    assert converge(host, params(rules=None), False)["changed"] is False
    assert not host.held


def test_a_lock_that_is_held_already_is_not_given_back_by_who_takes_it_again(host):
    with host.lock():
        with host.lock(), host.alone():
            pass
        assert host.held == {OWN_LOCK, LOCK}
    assert not host.held


# -- the work grows as the ruleset does --------------------------------------------------------------------------------


def denied(count, first=0):
    """As many networks that are denied."""
    return [
        {"rule": "deny", "from_ip": "100.%d.%d.0/24" % (number >> 8, number & 255)}
        for number in range(first, first + count)
    ]


#: Of as many rules: those before the change, and those after it.
CHANGES = {
    "all of them new": lambda count: ([], denied(count)),
    "all of them others": lambda count: (denied(count), denied(count, 2000)),
    "three eighths less": lambda count: (denied(count), [rule for n, rule in enumerate(denied(count)) if n % 8 > 2]),
    "none left": lambda count: (denied(count), []),
    "the other way round": lambda count: (denied(count), denied(count)[::-1]),
    "no change": lambda count: (denied(count), denied(count)),
    "before all others": lambda count: (
        denied(count, 2000),
        [{**rule, "position": "first"} for rule in denied(count)],
    ),
}


class Counter:
    """Counts the calls of functions, for sys.setprofile."""

    calls = 0

    def count(self, frame, event, argument):
        self.calls += event in ("call", "c_call")


@pytest.mark.parametrize("what", CHANGES)
def test_twice_as_many_rules_take_twice_the_work_and_no_more_commands(host, monkeypatch, what):
    # What the engine does has a budget of its own.
    monkeypatch.setattr(ufw_change, "effect_of", lambda *arguments: NO_EFFECT)
    monkeypatch.setattr(ufw_converge, "review", lambda *arguments: Review([], [], [], {}))
    monkeypatch.setattr(ufw_change, "find_session", lambda host: CAME_BY)
    calls, commands = [], []
    for count in (100, 100, 200, 400):  # what is done once in a process is done after the first
        before, after = CHANGES[what](count)
        converge(host, params(rules=[SSH, *before], purge=True, keep=None), False)
        host.ran.clear()
        done = Counter()
        sys.setprofile(done.count)
        try:
            converge(host, params(rules=[SSH, *after], purge=True, keep=None), False)
        finally:
            sys.setprofile(None)
        calls.append(done.calls)
        commands.append(len(host.ran))
    # Each step of as many rules more takes the same; what a run takes without any rule is left out.
    assert calls[3] - calls[2] < 2.3 * (calls[2] - calls[1]), calls
    assert len(set(commands)) == 1, commands
