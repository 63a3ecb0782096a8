# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The recorded exchanges, put to the stand-in one after the other, and what differs in its answers.

The recording has four parts, each with an AWX of its own: not all that was there was created in it. What an answer shows that the
stand-in has never seen is put into it as recorded, with its id; an exchange that shows such a thing is no evidence about that
thing, and every later one is. What a job did (its state, output, events, artifacts) is not compared: the stand-in runs none.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import yaml

from .controller import Controller
from .recording import Exchange, exchanges
from .serve import Front
from .shapes import LINKS, PLURAL, REFERENCES
from .store import API

#: Of an object, what time, jobs and the machine decide.
PASSING = frozenset(
    """created modified last_job_run last_job_failed next_job_run status scm_revision last_updated last_update_failed expires
    started finished canceled_on elapsed failed job_args job_cwd job_env job_explanation execution_node controller_node
    result_traceback event_processing_finished work_unit_id artifacts instance_group has_active_failures
    hosts_with_active_failures inventory_sources_with_failures capacity consumed_capacity percent_capacity_remaining
    jobs_running jobs_total last_login ansible_facts_modified token timezone until dtend last_job last_job_host_summary
    has_inventory_sources instance_id instances policy_instance_list launched_by host_config_key enabled_var launch_type
    job_slice_number scm_refspec""".split()
)
#: Of an object's related URLs, those that jobs leave.
PASSING_RELATED = frozenset(
    "last_job current_job last_update current_update next_schedule last_job_host_summary".split()
)
#: What is left out, by where it is: what a job did, settings, descriptions of the API itself, and what awx.awx does not use.
LEFT_OUT = (
    "/stdout/", "/job_events/", "/job_host_summaries/", "/relaunch/", "/cancel/", "/settings/", "/config/", "/bulk/",
    "/access_list/", "/copy/", "/test/", "/workflow_approvals/", "/workflow_jobs/", "/api/v2/jobs/", "/project_updates/",
    "/inventory_updates/", "/instances/", "/inventories/2/update",
)  # fmt: skip


def part_of(one: Exchange) -> str:
    """Which of the AWXs an exchange was with."""
    if one.note.startswith(("T-", "last")) or (one.note.startswith("raw") and one.n >= 994):
        return "created"
    if one.note.startswith("noop"):
        return "again"
    return "empty" if one.note.startswith("check on an empty") else "varied"


def left_out(one: Exchange) -> Optional[str]:
    """Why an exchange is not compared."""
    if one.path == API or one.method == "OPTIONS":
        return "the API's description of itself"
    for word in LEFT_OUT:
        if word in one.path:
            return word.strip("/").rpartition("/")[2]
    return None


class Replay:
    """One part of the recording against a stand-in of its own."""

    def __init__(self, part: list[Exchange]) -> None:
        self.controller = Controller.fresh()
        # What a new installation has is as recorded: it comes with the answers.
        for things in self.controller.store.things.values():
            things.clear()
        self.controller.store.add("users", {"username": "admin", "is_superuser": True}, None, number=1)
        self.front = Front(self.controller, {"admin": "right"})
        self._admin = self.front.token(1)
        self.seen: set[tuple[str, int]] = {("users", 1)}
        self._shown: set[str] = set()
        self.made: set[tuple[str, int]] = set()
        self._before(part)

    def _before(self, part: list[Exchange]) -> None:
        """What was there before the part began: what it shows and does not create."""
        made = {
            (PLURAL[item["type"]], item["id"])
            for one in part
            if one.method == "POST" and one.status in (201, 202)
            for item in objects(one.response)
            if item["type"] in PLURAL
        }
        self.seen |= made
        self.made = made
        for one in part:
            self._reveal(one.response)
        self.seen -= made

    def put(self, one: Exchange) -> tuple[int, Any, bool]:
        """The stand-in's status and body for an exchange, and whether it shows things that were never seen before."""
        fresh = one.method == "GET" and (self._reveal(one.response) or self._reveal_below(one))
        self._force(one)
        target = one.path + (f"?{one.query}" if one.query else "")
        body = (
            b""
            if one.body is None
            else one.body.encode()
            if isinstance(one.body, str)
            else json.dumps(one.body).encode()
        )
        kind = "application/x-www-form-urlencoded" if one.body == "name=x" else "application/json"
        reply = self.front.answer(
            one.method, target, {"authorization": self._authorization(one), "content-type": kind}, body
        )
        if one.method != "GET":
            self._reveal(one.response)
        return reply.status, reply.body, fresh

    def _authorization(self, one: Exchange) -> str:
        """What a request came with: the recording has the kind, not the words."""
        wrong = one.status == 401
        if one.auth == "none":
            return ""
        user = "bob" if one.auth == "Basic bob" or one.note.startswith("bob") else "admin"
        if one.auth == "Bearer":
            if wrong:
                return "Bearer wrong"
            if one.note.startswith("read-only"):
                return f"Bearer {self.front.token(1, write=False)}"
            return f"Bearer {self._admin if user == 'admin' else self.front.token(self._bob())}"
        if user == "bob":
            self._bob()
        word = base64.b64encode(f"{user}:{'wrong' if wrong else 'right'}".encode()).decode()
        return f"Basic {word}"

    def _bob(self) -> int:
        return self.front.user("bob", "right")

    def _force(self, one: Exchange) -> None:
        """The next id and the next roles are those that were recorded."""
        answer = one.response
        if one.method != "POST" or one.status not in (201, 202) or not isinstance(answer, dict) or "type" not in answer:
            return
        forced = self.controller.store.forced
        plural = PLURAL.get(answer["type"], "")
        forced.clear()
        kinds = {
            "project_updates": "unified",
            "inventory_updates": "unified",
            "jobs": "unified",
            "workflow_jobs": "unified",
        }
        templates = (
            "projects",
            "job_templates",
            "workflow_job_templates",
            "inventory_sources",
            "workflow_approval_templates",
        )
        forced["templates" if plural in templates else kinds.get(plural, plural)] = answer["id"]
        roles = answer.get("summary_fields", {}).get("object_roles", {})
        if roles:
            self.controller.store._last["roles"] = min(role["id"] for role in roles.values()) - 1

    def _reveal(self, answer: Any) -> bool:
        """Put what an answer shows and the stand-in never had into it; whether there was any."""
        new = False
        for item in list(objects(answer)):
            plural = PLURAL.get(item["type"], "")
            key = (plural, item["id"])
            if not plural or key in self.seen or "created" not in item:
                continue
            self.seen.add(key)
            if self.controller.store.get(*key) is None:
                self._insert(plural, item)
                new = True
        return new

    def _reveal_below(self, one: Exchange) -> bool:
        """A survey, a role's holders and an object's links, when they are shown for the first time."""
        parts = one.path[len(API) :].strip("/").split("/")
        if len(parts) < 3 or one.status != 200 or not parts[1].isdigit() or one.path in self._shown:
            return False
        self._shown.add(one.path)
        plural, number, below = parts[0], int(parts[1]), parts[2]
        ids = [item["id"] for item in objects(one.response)]
        if plural == "roles":
            held = self.controller.store.__dict__.setdefault("held", {}).setdefault(number, (set(), set()))
            held[below == "teams"].update(ids)
            return bool(ids)
        thing = self.controller.store.get(plural, number)
        if thing is None or (plural, number) in self.made:
            return False
        if below == "survey_spec" and not thing.survey:
            thing.survey = one.response
            return bool(thing.survey)
        if below in LINKS.get(plural, {}) and ids != thing.linked(below):
            thing.links[below] = ids
            return True
        return False

    def _insert(self, plural: str, item: Mapping[str, Any]) -> None:
        own = ("id", "type", "url", "related", "summary_fields", "created", "modified")
        fields = {name: value for name, value in item.items() if name not in own}
        thing = self.controller.store.add(plural, {}, number=item["id"])
        thing.fields.update(fields)
        if "created_by" not in item.get("related", {}):
            thing.made_by = None
        roles = item.get("summary_fields", {}).get("object_roles", {})
        thing.roles = {name: role["id"] for name, role in roles.items()}
        for name in ("success_nodes", "failure_nodes", "always_nodes"):
            if name in fields:
                thing.links[name] = list(fields[name])
        summary = item.get("summary_fields", {})
        for name in ("labels", "credentials"):
            held = summary.get(name)
            if name in LINKS.get(plural, {}) and held:
                thing.links[name] = [one["id"] for one in (held["results"] if isinstance(held, dict) else held)]


def objects(answer: Any) -> Iterator[Mapping[str, Any]]:
    """The objects that an answer shows: itself, or the items of a list."""
    if isinstance(answer, dict):
        if isinstance(answer.get("type"), str) and isinstance(answer.get("id"), int):
            yield answer
        for item in answer.get("results", ()) if isinstance(answer.get("results"), list) else ():
            yield from objects(item)


def differences(one: Exchange, status: int, body: Any) -> list[str]:
    """Where the stand-in's answer is another than the recorded one."""
    if status != one.status:
        return [f"status {status}, not {one.status}: {str(body)[:200]}"]
    return list(_differ("", one.response, body, one.trimmed))


def _differ(where: str, wanted: Any, found: Any, trimmed: bool) -> Iterator[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        if where.endswith("summary_fields"):
            wanted = {name: value for name, value in wanted.items() if name == "object_roles" or name in REFERENCES}
        for name, value in wanted.items():
            if name in PASSING or (where.endswith("related") and name in PASSING_RELATED):
                continue
            below = f"{where}.{name}"
            if where.rpartition(".")[0].endswith("summary_fields") and name not in ("id", "name", "object_roles"):
                continue
            if name not in found:
                yield f"{below} is missing"
            else:
                yield from _differ(below, value, found[name], trimmed)
        if not trimmed and where.rpartition("]")[2] in ("", ".related"):
            extra = set(found) - set(wanted) - PASSING - PASSING_RELATED
            yield from (f"{where}.{name} is too much" for name in sorted(extra))
    elif isinstance(wanted, list) and isinstance(found, list):
        if len(wanted) != len(found):
            yield f"{where}: {len(found)} items, not {len(wanted)}"
        for index, (one, other) in enumerate(zip(wanted, found)):
            yield from _differ(f"{where}[{index}]", one, other, trimmed)
    elif where.endswith("extra_vars") and _variables(wanted) == _variables(found):
        return
    elif wanted != found and not (wanted == "REDACTED" and found):
        yield f"{where}: {found!r:.200}, not {wanted!r:.200}"


def _variables(text: Any) -> Any:
    """Variables as they are meant: their order is no part of it."""
    try:
        found = yaml.safe_load(text or "{}")
    except yaml.YAMLError:
        return text
    return found


def replayed() -> Iterator[tuple[Exchange, Optional[str], list[str], bool]]:
    """(exchange, why it is left out, what differs, whether it shows what was never seen before) of each, in order."""
    parts: dict[str, Replay] = {}
    # What the organization left behind was deleted after it; the file has it before.
    for one in sorted(exchanges(), key=lambda one: "orphan" in one.note):
        part = part_of(one)
        if part not in parts:
            parts[part] = Replay([other for other in exchanges() if part_of(other) == part])
        replay = parts[part]
        status, body, fresh = replay.put(one)
        why = left_out(one)
        yield one, why, [] if why else differences(one, status, body), fresh
