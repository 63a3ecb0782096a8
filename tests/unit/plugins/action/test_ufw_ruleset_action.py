# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader

from ansible_collections.bulkhead.tiers.plugins.action import ufw_ruleset
from ansible_collections.bulkhead.tiers.plugins.action.ufw_ruleset import misread_numbers
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import confirming

PENDING = {"token": "abcd", "timeout": 30, "program": "/run/bulkhead/ufw/guard.py", "python": "/usr/bin/python3"}
CHANGED = {"changed": True, "pending": PENDING}


class Clock:
    """Time that passes when somebody sleeps or fails to connect."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Host:
    """Answers the modules and the commands over new connections; an answer is a result, a text or an exception. The module
    that compares says that a host is the same where ``module`` changes nothing."""

    def __init__(self, clock, module, *answers, transport="ssh", cost=0.0):
        self.clock, self.module, self.answers, self.transport, self.cost = clock, module, list(answers), transport, cost
        self.modules, self.commands, self.resets = [], [], 0

    def reset(self):
        self.resets += 1

    def execute_module(self, module_name, module_args, task_vars):
        self.modules.append((module_name.rpartition(".")[2], dict(module_args)))
        if module_name.endswith("_plan"):
            same = isinstance(self.module, dict) and not self.module["changed"]
            return {**self.module, "same": True} if same else {"changed": False, "same": False}
        if isinstance(self.module, Exception):
            raise self.module
        return dict(self.module)

    def command(self, command):
        self.commands.append((self.resets, command))
        self.clock.now += self.cost
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {"stdout": answer, "stderr": "", "rc": 0}


def answer(state, **more):
    return "Welcome!\n" + json.dumps({"token": "abcd", "state": state, "why": "", **more}) + "\n"


@pytest.fixture(name="run")
def fixture_run(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(ufw_ruleset, "time", clock)
    monkeypatch.setattr(confirming, "time", clock)

    def run(module, *answers, check_mode=False, transport="ssh", cost=0.0, reset=True, **arguments):
        host = Host(clock, module, *answers, transport=transport, cost=cost)
        task = SimpleNamespace(args=arguments, check_mode=check_mode, async_val=0, diff=False, action="ufw_ruleset")
        connection = SimpleNamespace(transport=transport)
        if reset:
            connection.reset = host.reset
        action = ufw_ruleset.ActionModule.__new__(ufw_ruleset.ActionModule)
        action._task, action._connection = task, connection
        action._execute_module = host.execute_module
        action._low_level_execute_command = host.command
        monkeypatch.setattr(confirming.ActionBase, "run", lambda self, tmp, task_vars: {})
        return action.run(task_vars={}), host

    return run


DOWN = AnsibleConnectionFailure("Connection timed out")


def test_a_change_is_confirmed_by_the_hosts_own_program_after_the_old_connection_is_closed(run):
    result, host = run(CHANGED, answer("kept"))
    assert host.commands == [(1, "/usr/bin/python3 -I /run/bulkhead/ufw/guard.py keep abcd")]
    assert result == {"changed": True, "confirmation": "confirmed over a new connection"}


def test_nothing_to_change_is_one_small_module_and_opens_no_connection(run):
    result, host = run({"changed": False})
    assert host.modules == [("ufw_ruleset_plan", {})]
    assert (host.resets, host.commands) == (0, [])
    assert result["confirmation"] == "nothing to confirm"


def test_a_task_of_the_peers_module_is_answered_with_the_line_that_does_it(run):
    for task, line in (
        ({"rule": "allow", "port": "22", "proto": "tcp"}, 'write rules: [{rule: allow, port: "22", proto: tcp}]'),
        ({"rule": "allow", "port": 22, "insert": 1}, "position: first"),
        ({"policy": "deny"}, "write default: {incoming: deny}"),
        ({"default": "deny", "direction": "outgoing"}, "write default: {outgoing: deny}"),
        ({"state": "reloaded"}, "without a reload"),
        ({"state": "reset"}, "purge: true"),
    ):
        result, host = run({"changed": False}, **task)
        assert result["failed"] and line in result["msg"] and result["errors"] and host.modules == []


def test_check_mode_opens_no_connection(run):
    result, host = run({"changed": True}, check_mode=True)
    assert host.resets == 0 and result["confirmation"] == "check mode"


@pytest.mark.parametrize(
    "transport", ["local", "docker", "community.docker.docker", "containers.podman.podman", "chroot"]
)
def test_a_connection_that_cannot_be_cut_says_so_and_does_not_wait(run, transport):
    result, host = run({"changed": True}, transport=transport, confirm={"timeout": 60}, rules=[])
    arguments = {"confirm": {"timeout": 0}, "rules": []}
    assert host.modules == [("ufw_ruleset_plan", arguments), ("ufw_ruleset", arguments)]
    assert result["confirmation"].startswith("not needed: a connection of the kind ")


@pytest.mark.parametrize("transport", ["ssh", "ansible.netcommon.libssh", "paramiko_ssh", "mitogen_ssh", "aws_ssm"])
def test_any_other_connection_is_asked_to_wait(run, transport):
    _result, host = run(CHANGED, answer("kept"), transport=transport, confirm={"timeout": 60})
    assert host.modules[0][1] == {"confirm": {"timeout": 60}}


def test_it_can_be_switched_off(run):
    result, host = run({"changed": True}, confirm={"timeout": 0})
    assert host.resets == 0 and result["confirmation"] == "switched off"


def test_a_connection_that_comes_through_late_confirms_all_the_same(run):
    result, host = run(CHANGED, DOWN, DOWN, answer("kept"), cost=5)
    assert result["confirmation"] == "confirmed over a new connection"
    assert [resets for resets, _command in host.commands] == [1, 2, 3]


def test_a_rollback_is_a_failure_that_says_why(run):
    result, _host = run(CHANGED, DOWN, DOWN, DOWN, answer("back", why="nobody kept it in time"), cost=10)
    assert (result["failed"], result["changed"]) == (True, False)
    assert "no new connection came through within 30 s (Connection timed out)" in result["msg"]
    assert "The old one is back, in the kernel and in the files" in result["msg"]


def test_a_change_that_the_host_itself_could_not_keep_says_why(run):
    result, _host = run(CHANGED, answer("back", error="another program wrote to /etc/ufw/user.rules"))
    assert result["failed"] is True and "another program wrote to /etc/ufw/user.rules" in result["msg"]


def test_a_host_that_was_restarted_meanwhile_is_a_failure(run):
    result, _host = run(CHANGED, DOWN, answer("unknown"))
    assert result["failed"] is True and "was restarted" in result["msg"]


def test_a_host_that_does_not_come_back_is_unreachable(run):
    with pytest.raises(AnsibleConnectionFailure, match="not after its rollback was due either: Connection timed out"):
        run(CHANGED, DOWN, cost=10)


def test_output_that_is_none_is_tried_again(run):
    result, host = run(CHANGED, "sudo: a password is required", answer("kept"))
    assert result["confirmation"] == "confirmed over a new connection" and len(host.commands) == 2


def test_a_connection_that_breaks_while_the_module_runs_says_that_the_host_rolls_back(run):
    with pytest.raises(AnsibleConnectionFailure, match="rolls them back by itself"):
        run(AnsibleConnectionFailure("Broken pipe"))


def test_a_failed_comparison_is_the_answer_and_nothing_is_applied(run, monkeypatch):
    monkeypatch.setattr(Host, "execute_module", lambda self, module_name, **_more: {"failed": True, "msg": module_name})
    result, host = run(CHANGED)
    assert result == {"failed": True, "msg": "bulkhead.tiers.ufw_ruleset_plan"} and host.resets == 0


def test_a_failed_module_is_returned_as_it_is(run):
    result, host = run({"failed": True, "changed": True, "msg": "no"})
    assert result == {"failed": True, "changed": True, "msg": "no"} and host.resets == 0


EVIL = "\x1b[2Jno\r\nok: [manager1]\u202e"


@pytest.mark.parametrize(
    "pending",
    [
        [],
        "abcd",
        {**PENDING, "timeout": 10**9},
        {**PENDING, "timeout": "30"},
        {**PENDING, "timeout": -1},
        {**PENDING, "timeout": None, "pause": 10**6},
        {**PENDING, "token": "abcd; reboot"},
        {**PENDING, "token": None},
        {**PENDING, "program": ["x"]},
        {**PENDING, "token": EVIL},
        {**PENDING, "waited": 3601},
        {**PENDING, "waited": -1},
    ],
)
def test_a_pending_change_that_was_not_asked_for_is_waited_for_no_time_and_run_nowhere(run, pending):
    result, host = run({"changed": True, "pending": pending}, answer("waiting"))
    assert result["failed"] is True and "no such change was asked for" in result["msg"] and result["msg"].isprintable()
    assert host.commands == []


def test_a_host_cannot_ask_for_a_longer_wait_than_the_task(run):
    result, host = run(
        {"changed": True, "pending": {**PENDING, "timeout": 31}}, answer("kept"), confirm={"timeout": 30}
    )
    assert result["failed"] is True and host.commands == []


@pytest.mark.parametrize(
    "said",
    [
        answer("back", error=EVIL),
        answer("back", why=EVIL),
        answer(EVIL),
        json.dumps({"token": "abcd"}),
        json.dumps({"state": ["kept"]}),
        "{" * 100000,
        '{"a": ' * 100000,
        EVIL,
    ],
)
def test_whatever_a_host_answers_the_task_fails_in_printable_words(run, said):
    try:
        result, _host = run(CHANGED, said, cost=20)
    except AnsibleConnectionFailure as error:
        text = str(error)
    else:
        assert result["failed"] is True and result["confirmation"] == "rolled back"
        text = result["msg"]
    assert text.isprintable() and len(text) < 2000


def test_the_words_of_a_module_are_printable(run):
    result, _host = run({"failed": True, "changed": False, "msg": EVIL, "warnings": [EVIL]})
    assert str(result).isprintable() and "\\x1b[2Jno" in result["msg"]


def test_a_connection_that_cannot_be_opened_anew_is_an_error(run):
    with pytest.raises(AnsibleActionFail, match="cannot be opened anew"):
        run(CHANGED, answer("kept"), reset=False)


def test_a_number_that_is_not_written_as_it_reads_is_told_with_its_text(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text(
        "rules:\n"
        "  - {rule: allow, to_port: 22:23}\n"
        "  - {rule: allow, to_port: 2380, from_port: 1:20}\n"
        "  - rule: allow\n"
        "    port: 022  # octal\n"
        '  - {rule: allow, to_port: "022"}\n'
        "  - rule: allow\n"
        "    to_port:\n"
        "      - 443\n"
        "      - 22:23\n"
        "docker: {published: [{port: 80}, {port: 53:54}, {port: 0x16}, {port: [80, 8_1]}]}\n"
        "nat: {forward: [{port: 2:50, target_port: 017}, {port: 8443}]}\n"
    )
    warnings = misread_numbers(DataLoader().load_from_file(str(path)))
    assert [text.partition(" without")[0] for text in warnings] == [
        "rules[0].to_port: YAML reads 22:23",
        "rules[1].from_port: YAML reads 1:20",
        "rules[2].port: YAML reads 022",
        "rules[4].to_port: YAML reads 22:23",
        "docker.published[1].port: YAML reads 53:54",
        "docker.published[2].port: YAML reads 0x16",
        "docker.published[3].port: YAML reads 8_1",
        "nat.forward[0].port: YAML reads 2:50",
        "nat.forward[0].target_port: YAML reads 017",
    ]


def test_numbers_whose_text_is_not_known_are_left_to_the_module():
    assert misread_numbers({"rules": [{"to_port": 1343}, 7], "docker": "x"}) == []


class Limit:
    """ufw's limit: a try is refused where there were 6 in 30 s, itself counted, and counts twice then."""

    def __init__(self, clock, earlier):
        self.clock, self.hits = clock, [-second for second in earlier]

    def refuses(self):
        now = self.clock.now
        self.hits.append(now)
        refused = len([hit for hit in self.hits if hit > now - 30]) >= 6
        self.hits += [now] if refused else []
        return refused


def limited(run, monkeypatch, earlier, pause, timeout=30):
    """A change that a limit keeps from being confirmed; the host rolls it back when its time is over."""
    clock = ufw_ruleset.time
    limit = Limit(clock, earlier)
    tries = []

    def through(self, command):
        tries.append(clock.now)
        if limit.refuses():
            raise AnsibleConnectionFailure("Connection refused")
        return {"token": "abcd", "state": "kept" if clock.now < timeout else "back", "why": ""}

    monkeypatch.setattr(ufw_ruleset.ActionModule, "_over_a_new_connection", through)
    result, _host = run({"changed": True, "pending": {**PENDING, "pause": pause, "timeout": timeout}}, answer("kept"))
    return result, tries


def test_a_limit_on_new_connections_is_waited_for_and_the_change_confirmed(run, monkeypatch):
    result, tries = limited(run, monkeypatch, earlier=[2, 4, 6, 8, 10], pause=31)
    assert result["confirmation"] == "confirmed over a new connection"
    assert tries == [0, 27]


@pytest.mark.parametrize("waited", [0, 25, 3600])
def test_the_time_of_the_confirmation_begins_when_the_module_has_waited_for_another_change(run, monkeypatch, waited):
    """A host that lies can make it end no later than if the module had just begun."""
    clock, apply = ufw_ruleset.time, ufw_ruleset.ActionModule._apply
    took = min(waited, 100)
    monkeypatch.setattr(ufw_ruleset.ActionModule, "_apply", lambda *words: clock.sleep(took) or apply(*words))
    pending = {**PENDING, "pause": 31, "waited": waited}
    result, host = run({"changed": True, "pending": pending}, DOWN, answer("kept"))
    assert result["confirmation"] == "confirmed over a new connection"
    assert len(host.commands) == 2 and clock.now == took + 27


@pytest.mark.parametrize("pause", [0, 31, 61])
@pytest.mark.parametrize("timeout", [5, 10, 30, 60])
def test_a_limit_that_lasts_makes_a_change_fail_and_no_host_unreachable(run, monkeypatch, pause, timeout):
    result, tries = limited(run, monkeypatch, earlier=range(1, 25), pause=pause, timeout=timeout)
    assert result["confirmation"] in ("rolled back", "confirmed over a new connection")
    assert len(tries) <= 14
    assert tries[-1] - tries[-2] >= 20


def test_a_limit_of_one_connection_an_hour_is_not_sat_out(run, monkeypatch):
    clock = ufw_ruleset.time

    def through(self, command):
        raise AnsibleConnectionFailure("no")

    monkeypatch.setattr(ufw_ruleset.ActionModule, "_over_a_new_connection", through)
    with pytest.raises(AnsibleConnectionFailure, match="not after its rollback was due"):
        run({"changed": True, "pending": {**PENDING, "pause": 3600, "timeout": 30}}, DOWN)
    assert clock.now < 30 + confirming.GRACE + 2 * confirming.LONGEST_LIMIT


def test_tries_get_rarer_and_one_comes_right_after_the_rollback(run, monkeypatch):
    clock, tries = ufw_ruleset.time, []

    def through(self, command):
        tries.append(clock.now)
        raise AnsibleConnectionFailure("no")

    monkeypatch.setattr(ufw_ruleset.ActionModule, "_over_a_new_connection", through)
    with pytest.raises(AnsibleConnectionFailure, match="not after its rollback was due"):
        run(CHANGED, DOWN)
    assert tries == [0, 1, 3, 7, 15, 23, 33, 36, 67, 98, 129]


class OtherWay:
    """A connection to another address of the host."""

    def __init__(self, address):
        self.address, self.become, self.resets, self.closed = address, None, 0, False

    def set_become_plugin(self, become):
        self.become = become

    def reset(self):
        self.resets += 1

    def close(self):
        self.closed = True


def over_another_way(monkeypatch, closes, *answers):
    """(the task's result, the connections that were made to other addresses, the resets of its own) of a change that is
    confirmed over 100.64.0.2 where it ``closes`` the way of the task."""
    clock, made = Clock(), []
    monkeypatch.setattr(ufw_ruleset, "time", clock)
    monkeypatch.setattr(confirming, "time", clock)
    monkeypatch.setattr(confirming.ActionBase, "run", lambda self, tmp, task_vars: {})

    def connection_to(name, task_vars, context, loader, address):
        made.append(OtherWay(address))
        return made[-1]

    monkeypatch.setattr(ufw_ruleset.ways, "connection_to", connection_to)
    host = Host(clock, {"changed": True, "pending": {**PENDING, "over": closes}}, *answers, cost=10)
    action = ufw_ruleset.ActionModule.__new__(ufw_ruleset.ActionModule)
    arguments = {"confirm": {"timeout": 30, "over": "100.64.0.2"}}
    action._task = SimpleNamespace(args=arguments, check_mode=False, async_val=0, diff=False, action="ufw_ruleset")
    own = SimpleNamespace(transport="ssh", reset=host.reset, become="sudo")
    action._connection, action._play_context, action._loader = own, None, None
    action._execute_module, action._low_level_execute_command = host.execute_module, host.command
    result = action.run(task_vars={"inventory_hostname": "web1"})
    assert action._connection is own
    # Over its own way, which only a rollback opens again, the change is kept nowhere but where it was not to be closed.
    assert not (closes is True and any(" keep " in command for resets, command in host.commands if resets))
    return result, made, host.resets


def test_a_ruleset_that_closes_the_way_of_the_task_is_confirmed_over_the_other_way_and_the_own_one_stays_open(
    monkeypatch,
):
    result, made, resets = over_another_way(monkeypatch, True, answer("kept"))
    assert result["confirmation"] == "confirmed over a new connection to 100.64.0.2"
    assert [(way.address, way.become, way.resets, way.closed) for way in made] == [("100.64.0.2", "sudo", 1, True)]
    assert resets == 0


def test_a_ruleset_that_keeps_the_way_of_the_task_is_confirmed_over_that(monkeypatch):
    result, made, resets = over_another_way(monkeypatch, False, answer("kept"))
    assert (result["confirmation"], made, resets) == ("confirmed over a new connection", [], 1)


def test_a_way_is_not_closed_where_no_connection_comes_over_the_other_one(monkeypatch):
    result, made, _resets = over_another_way(monkeypatch, True, DOWN, DOWN, answer("back", why="not kept in time"))
    assert result["failed"] and not result["changed"] and result["confirmation"] == "rolled back"
    assert made[0].closed


def test_another_way_that_leads_nowhere_is_a_rollback_and_nothing_is_kept_over_the_own_way(monkeypatch):
    result, made, resets = over_another_way(monkeypatch, True, DOWN, DOWN, DOWN, DOWN, DOWN, answer("back"))
    assert result["failed"] and result["confirmation"] == "rolled back" and not result["changed"]
    assert "no new connection came to 100.64.0.2 within 30 s" in result["msg"]
    assert made[0].resets > 1 and resets > 0


@pytest.mark.parametrize("over", ["yes", 1, ["x"], None], ids=str)
def test_a_host_says_nothing_but_true_or_false_of_the_way(monkeypatch, over):
    _result, made, _resets = over_another_way(monkeypatch, over, answer("kept"))
    assert made == []
