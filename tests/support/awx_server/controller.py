# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stand-in for the part of the AWX 24.6.1 API that awx.awx uses. It runs no jobs: one that is launched ends well.

`Controller.handle` answers a request of somebody; who that is, serve.py finds out. Every rule is one that the recording shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional
from urllib.parse import parse_qsl, unquote, urlencode

import yaml

from . import surveys
from .checks import PROMPTS, bad_variables, refusal
from .recording import exchanges
from .shapes import JOBS, LINKS, LISTS, REFERENCES, TEMPLATES, TYPES, shape
from .store import API, Store, Thing

NOT_FOUND = (
    '\n<!doctype html>\n<html lang="en">\n<head>\n  <title>Not Found</title>\n</head>\n<body>\n'
    "  <h1>Not Found</h1><p>The requested resource was not found on this server.</p>\n</body>\n</html>\n"
)
DENIED = {"detail": "You do not have permission to perform this action."}


class Reply(NamedTuple):
    """status and body: JSON, or text where it is a str."""

    status: int
    body: Any = ""


class Who(NamedTuple):
    """Who asks: the id of the user, and whether the token is one to write with."""

    user: int
    write: bool = True


@dataclass
class Controller:
    """The objects, and what is done with them. ``playbooks``: {id of a project: its playbooks}."""

    store: Store = field(default_factory=Store)

    def __post_init__(self) -> None:
        self.store.playbooks = {}  # type: ignore[attr-defined]

    @classmethod
    def fresh(cls) -> Controller:
        """As after the installation, without the demonstration: an administrator, and what AWX itself brings."""
        self = cls()
        self.store.add("users", {"username": "admin", "is_superuser": True}, None)
        for kind in self._managed_types():
            self.store.add("credential_types", {**kind, "managed": True}, None)
        self.store.add(
            "organizations", {"name": "Default", "description": "The default organization for Ansible"}, None
        )
        self.store.add("instance_groups", {"name": "controlplane"}, None)
        self.store.add("instance_groups", {"name": "default"}, None)
        self.store.add(
            "execution_environments",
            {"name": "AWX EE (latest)", "image": "registry.example/ansible/awx-ee:latest", "managed": True},
            None,
        )
        return self

    @staticmethod
    def _managed_types() -> Iterable[dict[str, Any]]:
        """Machine and Source Control, as they were recorded."""
        found: dict[str, dict[str, Any]] = {}
        for one in exchanges():
            results = one.response.get("results", ()) if isinstance(one.response, dict) else ()
            for item in results:
                if isinstance(item, dict) and item.get("type") == "credential_type" and item.get("managed"):
                    names = ("name", "description", "kind", "namespace", "inputs", "injectors")
                    found.setdefault(item["name"], {name: item[name] for name in names if name in item})
        return found.values()

    # One request

    def handle(self, method: str, path: str, query: str, body: Any, who: Who) -> Reply:
        if not path.endswith("/"):
            return Reply(301)
        parts = [unquote(part) for part in path[len(API) :].strip("/").split("/")] if path.startswith(API) else []
        if method not in ("GET", "OPTIONS") and not who.write:
            return Reply(403, DENIED)
        if not parts:
            return Reply(404, NOT_FOUND)
        plural, number, below = parts[0], parts[1] if len(parts) > 1 else "", "/".join(parts[2:])
        if plural in ("ping", "me"):
            return self._about(plural, who)
        if plural == "roles" and below in ("teams", "users"):
            return self._role(method, int(number), below, body, who)
        if plural in ("unified_job_templates", "unified_jobs") and not number:
            kinds = TEMPLATES if plural == "unified_job_templates" else JOBS
            every = [thing for kind in kinds if kind != "workflow_approval_templates" for thing in self.store.all(kind)]
            return self._list(sorted(every, key=lambda thing: thing.id), plural, query, who)
        if plural not in TYPES or (plural == "tokens" and method == "GET"):
            return Reply(404, NOT_FOUND)
        if not number:
            return self._collection(method, plural, query, body, who)
        thing = self._find(plural, number)
        if thing is None or (method == "GET" and not self._sees(who, thing)):
            return Reply(404, {"detail": f"No {TYPES[plural][1]} matches the given query."})
        if below:
            return self._below(method, thing, below, query, body, who)
        return self._one(method, thing, body, who)

    def _about(self, plural: str, who: Who) -> Reply:
        if plural == "ping":
            return Reply(200, {"ha": False, "version": "24.6.1"})
        user = self.store.get("users", who.user)
        return self._list([user] if user else [], "users", "", who)

    def _find(self, plural: str, number: str) -> Optional[Thing]:
        if number.isdigit():
            return self.store.get(plural, int(number))
        return next((thing for thing in self.store.all(plural) if self.store.named_url(thing) == number), None)

    # Rights

    def _admin(self, who: Who) -> bool:
        user = self.store.get("users", who.user)
        return bool(user and user["is_superuser"])

    def _roles(self, who: Who) -> set[int]:
        """The roles that a user has, alone or by a team."""
        teams = {team.id for team in self.store.all("teams") if who.user in team.linked("users")}
        held = getattr(self.store, "held", {})
        return {role for role, (users, in_teams) in held.items() if who.user in users or teams & in_teams}

    def _sees(self, who: Who, thing: Thing) -> bool:
        if self._admin(who) or thing.plural in ("credential_types", "users", "instance_groups"):
            return True
        if thing.plural in JOBS:
            template = self.store.template(thing["unified_job_template"])
            return template is not None and self._sees(who, template)
        return bool(self._roles(who) & set(thing.roles.values()))

    def _may(self, who: Who, thing: Thing, *roles: str) -> bool:
        return self._admin(who) or bool(self._roles(who) & {thing.roles.get(name, 0) for name in roles})

    def _role(self, method: str, number: int, below: str, body: Any, who: Who) -> Reply:
        found = self.store.role(number)
        if found is None:
            return Reply(404, {"detail": "No Role matches the given query."})
        held: dict[int, tuple[set[int], set[int]]] = self.store.__dict__.setdefault("held", {})
        members = held.setdefault(number, (set(), set()))[below == "teams"]
        if method == "GET":
            things = [thing for one in sorted(members) if (thing := self.store.get(below, one))]
            return self._list(things, below, "", who)
        if not self._may(who, found[0], "admin_role"):
            return Reply(403, DENIED)
        if self.store.get(below, body.get("id")) is None:
            return Reply(400, {"msg": "the user or team does not exist"})
        (members.discard if body.get("disassociate") else members.add)(body["id"])
        # Members of a team are those who have its role.
        if found[0].plural == "teams" and found[1] == "member_role" and below == "users":
            found[0].links["users"] = sorted(members)
        return Reply(204)

    # Lists

    def _collection(self, method: str, plural: str, query: str, body: Any, who: Who) -> Reply:
        if method == "GET":
            return self._list(list(self.store.all(plural)), plural, query, who)
        if method == "POST":
            return self._create(plural, body, who)
        return Reply(405, {"detail": f'Method "{method}" not allowed.'})

    def _list(self, things: list[Thing], plural: str, query: str, who: Who) -> Reply:
        asked = dict(parse_qsl(query, keep_blank_values=True))
        size, page = min(int(asked.pop("page_size", 25)), 200), int(asked.pop("page", 1))
        order = asked.pop("order_by", "")
        seen = [thing for thing in things if self._sees(who, thing)]
        either = {name[4:]: asked.pop(name) for name in list(asked) if name.startswith("or__")}
        for name, value in asked.items():
            wrong = self._bad_filter(plural, name, value)
            if wrong:
                return Reply(400, {"detail": wrong})
            seen = [thing for thing in seen if self._matches(thing, name, value)]
        if either:
            seen = [thing for thing in seen if any(self._matches(thing, name, value) for name, value in either.items())]
        if order:
            seen.sort(key=lambda thing: str(thing[order.lstrip("-")] or thing.id), reverse=order.startswith("-"))
        shown = seen[(page - 1) * size : page * size]

        def other(number: int) -> str:
            words = {**dict(parse_qsl(query)), "page": str(number)}
            return f"{API}{plural}/?{urlencode(sorted(words.items()))}"

        return Reply(
            200,
            {
                "count": len(seen),
                "next": other(page + 1) if page * size < len(seen) else None,
                "previous": other(page - 1) if page > 1 else None,
                "results": [self.store.show(thing, listed=True) for thing in shown],
            },
        )

    def _matches(self, thing: Thing, name: str, value: str) -> bool:
        if name == "id":
            return str(thing.id) == value
        if name == "type":
            return TYPES[thing.plural][0] == value
        held = thing[name]
        if name == "organization" and thing.plural == "inventory_sources":
            # It has that of its inventory, though only its summary shows it.
            organization = self.store.organization_of(thing)
            held = organization.id if organization else None
        return str(held) == value if held is not None else value in ("None", "")

    def _bad_filter(self, plural: str, name: str, value: str) -> Optional[str]:
        if name in REFERENCES:
            return None if value.isdigit() or value == "None" else f"Invalid {name} id: {value}"
        form = shape(plural) if plural in TYPES else None
        known = {"id", "type", "name", "status", "hostname", "job__name", *(form.fields if form else ())}
        return None if name in known else f"{TYPES[plural][1]} has no field named '{name}'"

    # Objects

    def _create(self, plural: str, body: Any, who: Who, **given: Any) -> Reply:
        form = shape(plural)
        body = {name: value for name, value in {**body, **given}.items() if form is None or name in form.fields}
        if not self._admin(who):
            return Reply(403, self._denied(plural, body))
        if plural in ("jobs", "workflow_jobs", "workflow_approval_templates"):
            return Reply(405, {"detail": 'Method "POST" not allowed.'})
        errors = refusal(self.store, plural, body, None)
        if errors:
            return Reply(400, errors)
        if plural in ("job_templates", "inventory_sources"):
            # It comes from the project, and nobody gives it.
            body.pop("organization", None)
        thing = self.store.add(plural, _numbers(body), who.user)
        self._finish(thing)
        return Reply(201, self.store.show(thing))

    @staticmethod
    def _denied(plural: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if plural == "job_templates" and "project" not in body:
            return {}
        if plural == "job_templates" and "inventory" in body:
            return {"inventory": ["You do not have use permission on Inventory"]}
        return DENIED

    def _finish(self, thing: Thing) -> None:
        """What follows from a creation or a change."""
        if thing.plural == "job_templates":
            project = self.store.get("projects", thing["project"])
            thing.fields["organization"] = project["organization"] if project else thing["organization"]
        elif thing.plural == "projects" and thing["scm_type"]:
            thing.fields["local_path"] = f"_{thing.id}__{str(thing['name']).replace(' ', '_')}"
            self._update_project(thing)
        elif thing.plural == "projects":
            thing.fields["status"] = "ok"

    def _update_project(self, project: Thing) -> Thing:
        """The update that a new project begins: pending now, successful when it is asked for."""
        update = self.store.add(
            "project_updates",
            {
                "name": project["name"],
                "description": project["description"],
                "unified_job_template": project.id,
                "project": project.id,
                "status": "pending",
                "failed": False,
                "finished": None,
                "launch_type": "manual",
                "job_type": "check",
            },
        )
        project.fields["status"] = "pending"
        project.more.update(current_job=update.url, current_update=update.url)
        return update

    def _one(self, method: str, thing: Thing, body: Any, who: Who) -> Reply:
        if method == "GET":
            if thing.plural in JOBS:
                self._progress(thing)
            return Reply(200, self.store.show(thing))
        if method in ("PATCH", "PUT"):
            return self._change(thing, body, who)
        if method == "DELETE":
            return self._delete(thing, who)
        return Reply(405, {"detail": f'Method "{method}" not allowed.'})

    def _change(self, thing: Thing, body: Mapping[str, Any], who: Who) -> Reply:
        if not self._may(who, thing, "admin_role"):
            return Reply(403, DENIED)
        if thing.plural == "credential_types" and thing["managed"]:
            return Reply(403, {"detail": "Modifications not allowed for managed credential types"})
        # survey_spec has an endpoint of its own, and what no field is, is dropped.
        known = {name: value for name, value in body.items() if name in thing.fields and name != "type"}
        if thing.plural == "job_templates":
            known.pop("organization", None)
        errors = refusal(self.store, thing.plural, known, thing)
        if errors:
            return Reply(400, errors)
        if thing.plural == "credentials" and "inputs" in known:
            old = thing["inputs"] or {}
            known["inputs"] = {
                name: old.get(name, value) if value == surveys.HIDDEN else value
                for name, value in known["inputs"].items()
            }
        thing.fields.update(_numbers(known))
        if thing.plural == "job_templates":
            self._finish(thing)
        return Reply(200, self.store.show(thing))

    def _delete(self, thing: Thing, who: Who) -> Reply:
        if not self._may(who, thing, "admin_role"):
            return Reply(403, DENIED)
        if thing.plural == "instance_groups" and thing["name"] in ("controlplane", "default"):
            return Reply(403, DENIED)
        if thing.plural == "labels":
            return Reply(405, {"detail": 'Method "DELETE" not allowed.'})
        if thing.plural == "credential_types":
            if thing["managed"]:
                return Reply(403, {"detail": "Deletion not allowed for managed credential types"})
            if self.store.of("credentials", "credential_type", thing.id):
                return Reply(403, {"detail": "Credential types that are in use cannot be deleted"})
        self._cascade(thing)
        self.store.forget(thing)
        return Reply(202 if thing.plural == "inventories" else 204)

    def _cascade(self, thing: Thing) -> None:
        """What goes with an object; everything else stays, with null where it was."""
        goes = {
            "organizations": [
                (plural, "organization")
                for plural in ("credentials", "labels", "execution_environments", "notification_templates", "teams")
            ],
            "inventories": [(plural, "inventory") for plural in ("hosts", "groups", "inventory_sources")],
            "workflow_job_templates": [("workflow_job_template_nodes", "workflow_job_template")],
        }.get(thing.plural, [])
        if thing.plural in TEMPLATES:
            goes = [*goes, ("schedules", "unified_job_template")]
        for plural, name in goes:
            for other in self.store.of(plural, name, thing.id):
                self._cascade(other)
                self.store.forget(other)
        if thing.plural == "workflow_job_template_nodes":
            approval = self.store.get("workflow_approval_templates", thing["unified_job_template"])
            if approval:
                self.store.forget(approval)

    # Below an object

    def _below(self, method: str, thing: Thing, below: str, query: str, body: Any, who: Who) -> Reply:
        links, lists = LINKS.get(thing.plural, {}), LISTS.get(thing.plural, {})
        if thing.plural == "organizations" and below == "users" and method == "POST" and "id" not in body:
            reply = self._create("users", body, who)
            if reply.status == 201:
                thing.linked("users").append(reply.body["id"])
            return reply
        if below in links:
            if method == "GET":
                ordered = below in ("instance_groups", "galaxy_credentials")
                numbers = thing.linked(below) if ordered else sorted(thing.linked(below))
                found = [other for one in numbers if (other := self.store.get(links[below], one))]
                return self._list(found, links[below], query, who)
            return self._link(thing, below, links[below], body, who)
        if below in lists and method == "GET":
            plural, name = lists[below]
            return self._list(self.store.of(plural, name, thing.id), plural, query, who)
        handler = getattr(self, f"_{below.replace('/', '_')}", None)
        if handler is None or below not in _ACTIONS.get(thing.plural, ()):
            return Reply(404, NOT_FOUND)
        reply: Reply = handler(method, thing, body, who)
        return reply

    def _link(self, thing: Thing, name: str, plural: str, body: Mapping[str, Any], who: Who) -> Reply:
        if not self._may(who, thing, "admin_role"):
            return Reply(403, DENIED)
        other = self.store.get(plural, body.get("id"))
        if other is None:
            return Reply(400, {"detail": f"{TYPES[plural][1]} matching query does not exist."})
        linked = thing.linked(name)
        if body.get("disassociate"):
            if other.id in linked:
                linked.remove(other.id)
            return Reply(204)
        wrong = self._bad_link(thing, name, other)
        if wrong:
            return Reply(400, wrong)
        if other.id not in linked:
            linked.append(other.id)
        return Reply(204)

    def _bad_link(self, thing: Thing, name: str, other: Thing) -> Optional[dict[str, str]]:
        if name == "credentials" and other.id not in thing.linked(name):
            kind = self.store.get("credential_types", other["credential_type"])
            same = [
                one
                for one in thing.linked(name)
                if (held := self.store.get("credentials", one)) and held["credential_type"] == other["credential_type"]
            ]
            if same and kind:
                return {"error": f"Cannot assign multiple {kind['name']} credentials."}
        if name == "children" and (other is thing or self._leads(other, thing, ("children",))):
            return {"error": "Cyclical Group association."}
        nodes = ("success_nodes", "failure_nodes", "always_nodes")
        if name in nodes and (other is thing or self._leads(other, thing, nodes)):
            return {"Error": "Cycle detected."}
        return None

    def _leads(self, start: Thing, end: Thing, names: tuple[str, ...]) -> bool:
        """Whether links lead from one object to the other."""
        waiting, seen = [start], set()
        while waiting:
            one = waiting.pop()
            if one is end:
                return True
            if one.id not in seen:
                seen.add(one.id)
                for name in names:
                    waiting += [other for number in one.linked(name) if (other := self.store.get(start.plural, number))]
        return False

    def _survey_spec(self, method: str, thing: Thing, body: Any, who: Who) -> Reply:
        if method == "GET":
            return Reply(200, _masked(thing.survey))
        if not self._may(who, thing, "admin_role"):
            return Reply(403, DENIED)
        if method == "DELETE":
            thing.survey = {}
            return Reply(200)
        wrong = surveys.refusal(body, thing.survey)
        if wrong:
            return Reply(400, {"error": wrong})
        thing.survey = json.loads(json.dumps(body))
        return Reply(200)

    def _create_approval_template(self, method: str, thing: Thing, body: Any, who: Who) -> Reply:
        if not self._admin(who):
            return Reply(403, DENIED)
        if not body.get("name"):
            return Reply(400, {"name": ["This field is required."]})
        form = shape("workflow_approval_templates")
        fields = {name: value for name, value in body.items() if form and name in form.fields}
        approval = self.store.add("workflow_approval_templates", fields, who.user)
        thing.fields["unified_job_template"] = approval.id
        return Reply(201, self.store.show(approval))

    def _object_roles(self, method: str, thing: Thing, body: Any, who: Who) -> Reply:
        roles = self.store.show(thing)["summary_fields"]["object_roles"].values()
        kind = TYPES[thing.plural][0]
        about = {
            "resource_name": thing["name"],
            "resource_type": kind,
            "resource_type_display_name": kind.replace("_", " ").title(),
            "resource_id": thing.id,
        }
        results = [
            {
                **role,
                "type": "role",
                "url": f"{API}roles/{role['id']}/",
                "related": {kind: thing.url, **{who: f"{API}roles/{role['id']}/{who}/" for who in ("users", "teams")}},
                "summary_fields": about,
            }
            for role in roles
        ]
        return Reply(200, {"count": len(results), "next": None, "previous": None, "results": results})

    def _playbooks(self, method: str, thing: Thing, body: Any, who: Who) -> Reply:
        return Reply(200, self.store.playbooks.get(thing.id, []))  # type: ignore[attr-defined]

    # Jobs

    def _update(self, method: str, thing: Thing, body: Any, who: Who) -> Reply:
        if thing.plural == "projects":
            update = self._update_project(thing)
            return Reply(202, {"project_update": update.id, **self.store.show(update)})
        update = self.store.add(
            "inventory_updates",
            {
                "name": thing["name"],
                "unified_job_template": thing.id,
                "inventory_source": thing.id,
                "status": "pending",
            },
        )
        return Reply(202, {"inventory_update": update.id, **self.store.show(update)})

    def _progress(self, job: Thing) -> None:
        """A job is over when it is asked for."""
        if job["status"] == "pending":
            job.fields.update(status="successful", failed=False, finished="2026-01-01T00:00:01.000000Z")
            template = self.store.template(job["unified_job_template"])
            if template and template.plural == "projects":
                template.fields["status"] = "successful"
                template.more = {"last_job": job.url, "last_update": job.url}

    def _launch(self, method: str, thing: Thing, body: Any, who: Who) -> Reply:
        survey = thing.survey if thing["survey_enabled"] else {}
        if method == "GET":
            return Reply(200, self._launch_info(thing, survey))
        if not self._may(who, thing, "execute_role", "admin_role"):
            return Reply(403, DENIED)
        body = body or {}
        given, wrong = _given(body)
        errors = {**wrong, **_bad_prompts(self.store, body)}
        if errors:
            return Reply(400, errors)
        answers = surveys.wrong_answers(survey, given)
        if answers:
            return Reply(400, {"variables_needed_to_start": answers})
        asked = {question["variable"] for question in survey.get("spec", ())}
        taken = given if thing["ask_variables_on_launch"] else {k: v for k, v in given.items() if k in asked}
        ignored = {name: body[name] for name, ask in PROMPTS.items() if name in body and not thing[ask]}
        stray = {name: value for name, value in given.items() if name not in taken}
        if stray:
            ignored["extra_vars"] = stray
        passwords = {question["variable"] for question in survey.get("spec", ()) if question["type"] == "password"}
        taken = {name: surveys.HIDDEN if name in passwords else value for name, value in taken.items()}
        return self._started(thing, body, ignored, {**surveys.defaults(survey), **taken}, who)

    def _started(
        self, thing: Thing, body: Mapping[str, Any], ignored: dict[str, Any], given: Mapping[str, Any], who: Who
    ) -> Reply:
        hosts = len(self.store.of("hosts", "inventory", thing["inventory"]))
        wanted = {name: body[name] for name in PROMPTS if name in body and name not in ignored}
        slices = min(int(wanted.get("job_slice_count", thing["job_slice_count"] or 1)), max(hosts, 1))
        plural = "jobs" if thing.plural == "job_templates" and slices < 2 else "workflow_jobs"
        form = shape(plural)
        own = {name: thing[name] for name in (form.fields if form else ()) if name in thing.fields}
        variables = yaml.safe_load(thing["extra_vars"] or "{}") or {}
        fields = {
            **own,
            **{name: value for name, value in wanted.items() if form and name in form.fields},
            "unified_job_template": thing.id,
            "status": "pending",
            "extra_vars": json.dumps({**variables, **given}) if variables or given else "{}",
        }
        if thing.plural == "job_templates":
            fields["job_template"] = thing.id
            fields["is_sliced_job" if plural == "workflow_jobs" else "job_slice_count"] = plural == "workflow_jobs" or 1
        else:
            fields.update(workflow_job_template=thing.id, is_sliced_job=False)
        job = self.store.add(plural, fields, who.user)
        name = "job" if plural == "jobs" else "workflow_job"
        return Reply(201, {name: job.id, "ignored_fields": ignored, **self.store.show(job)})

    def _launch_info(self, thing: Thing, survey: Mapping[str, Any]) -> dict[str, Any]:
        asks = {name: value for name, value in thing.fields.items() if name.startswith("ask_")}
        needed = surveys.missing(survey)
        return {
            **asks,
            "can_start_without_user_input": not needed and not any(asks.values()),
            "survey_enabled": thing["survey_enabled"],
            "variables_needed_to_start": needed,
            f"{TYPES[thing.plural][0]}_data": {
                "name": thing["name"],
                "id": thing.id,
                "description": thing["description"],
            },
        }


#: {plural: what is below an object and no list}
_ACTIONS = {
    "job_templates": ("survey_spec", "launch", "object_roles"),
    "workflow_job_templates": ("survey_spec", "launch", "object_roles"),
    "workflow_job_template_nodes": ("create_approval_template",),
    "projects": ("update", "playbooks", "object_roles"),
    "inventory_sources": ("update",),
}


def _numbers(body: Mapping[str, Any]) -> dict[str, Any]:
    """As a body is kept: verbosity may come as a text, and the kind of an inventory as null."""
    return {
        name: int(value)
        if name == "verbosity" and isinstance(value, str) and value.isdigit()
        else ""
        if name == "kind" and value is None
        else value
        for name, value in body.items()
    }


def _masked(survey: Mapping[str, Any]) -> dict[str, Any]:
    found = json.loads(json.dumps(survey))
    for question in found.get("spec", ()):
        if question["type"] == "password" and question.get("default"):
            question["default"] = surveys.HIDDEN
    return found


def _given(body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables of a launch, and what is wrong with them."""
    given = body.get("extra_vars") or {}
    if isinstance(given, str):
        wrong = bad_variables(given)
        if wrong:
            return {}, {"extra_vars": [wrong]}
        given = yaml.safe_load(given) or {}
    return given, {}


def _bad_prompts(store: Store, body: Mapping[str, Any]) -> dict[str, Any]:
    errors: dict[str, Any] = {}
    if "limit" in body and not isinstance(body["limit"], str):
        errors["limit"] = ["Not a valid string."]
    if not str(body.get("job_slice_count", 1)).isdigit():
        errors["job_slice_count"] = ["A valid integer is required."]
    for number in body.get("credentials", ()):
        if store.get("credentials", number) is None:
            errors["credentials"] = [f'Invalid pk "{number}" - object does not exist.']
    return errors
