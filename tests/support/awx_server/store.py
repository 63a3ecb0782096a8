# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The objects of the stand-in: kept, linked, shown as AWX shows them."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Optional
from zoneinfo import ZoneInfo

from .shapes import JOBS, LINKS, PLURAL, REFERENCES, TEMPLATES, TYPES, shape
from .surveys import HIDDEN

API = "/api/v2/"
#: A time that stands for all.
NOW = "2026-01-01T00:00:00.000000Z"
#: Fields of an object's FK summary, beside id, name and description.
_SUMMARIES = {
    "projects": ("status", "scm_type", "allow_override"),
    "execution_environments": ("image",),
    "inventories": ("kind",),
}


@dataclass
class Thing:
    """An object. ``links``: {name: ids of what is linked}; ``secret``: what is shown as $encrypted$."""

    plural: str
    id: int
    fields: dict[str, Any]
    roles: dict[str, int] = field(default_factory=dict)
    links: dict[str, list[int]] = field(default_factory=dict)
    survey: dict[str, Any] = field(default_factory=dict)
    made_by: Optional[int] = 1
    more: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{API}{self.plural}/{self.id}/"

    def __getitem__(self, name: str) -> Any:
        return self.fields.get(name)

    def linked(self, name: str) -> list[int]:
        return self.links.setdefault(name, [])


class Store:
    """All objects by type and id."""

    def __init__(self) -> None:
        self.things: dict[str, dict[int, Thing]] = {plural: {} for plural in TYPES}
        self._last: dict[str, int] = {}
        #: What the next objects and roles are called, where that is to be as recorded.
        self.forced: dict[str, int] = {}

    def sequence(self, name: str) -> int:
        """The next id of a type, or of the types that share one."""
        name = "templates" if name in TEMPLATES else "unified" if name in JOBS else name
        found = self.forced.pop(name, None) or self._last.get(name, 0) + 1
        self._last[name] = max(found, self._last.get(name, 0))
        return found

    def add(self, plural: str, fields: dict[str, Any], made_by: Optional[int] = 1, number: int = 0) -> Thing:
        """A new object with the defaults of its type."""
        form = shape(plural)
        whole = {**copy.deepcopy(form.fields if form else {}), **fields}
        thing = Thing(plural, number or self.sequence(plural), whole, made_by=made_by)
        for name in form.roles if form else {}:
            thing.roles[name] = self.sequence("roles")
        self.things[plural][thing.id] = thing
        return thing

    def get(self, plural: str, number: Any) -> Optional[Thing]:
        return self.things.get(plural, {}).get(number) if isinstance(number, int) else None

    def template(self, number: Any) -> Optional[Thing]:
        """A unified job template."""
        return next((thing for plural in TEMPLATES if (thing := self.get(plural, number))), None)

    def all(self, plural: str) -> Iterator[Thing]:
        yield from list(self.things.get(plural, {}).values())

    def role(self, number: int) -> Optional[tuple[Thing, str]]:
        """The object and the name of a role."""
        for things in self.things.values():
            for thing in things.values():
                for name, held in thing.roles.items():
                    if held == number:
                        return thing, name
        return None

    def referred(self, name: str, number: Any) -> Optional[Thing]:
        """What a field refers to."""
        return self.get(REFERENCES[name], number) if REFERENCES[name] else self.template(number)

    def forget(self, thing: Thing) -> None:
        """The object and every link to it go; what refers to it has null there."""
        self.things[thing.plural].pop(thing.id, None)
        for others in self.things.values():
            for other in others.values():
                for name, linked in LINKS.get(other.plural, {}).items():
                    if linked == thing.plural and thing.id in other.links.get(name, ()):
                        other.links[name].remove(thing.id)
                for name, plural in REFERENCES.items():
                    same = plural == thing.plural or (not plural and thing.plural in TEMPLATES)
                    if same and other.fields.get(name) == thing.id:
                        other.fields[name] = None

    # As it is shown

    def organization_of(self, thing: Thing) -> Optional[Thing]:
        """The organization that an object is in, by itself, its inventory or its workflow."""
        for name in ("organization", "inventory", "workflow_job_template"):
            if thing[name] is not None and name in thing.fields:
                found = self.referred(name, thing[name])
                return found if found is None or name == "organization" else self.organization_of(found)
        return None

    def named_url(self, thing: Thing) -> Optional[str]:
        """What stands for the id in a URL; None for a type without."""
        name = str(thing["name"])
        organization = self.organization_of(thing)
        of = str(organization["name"]) if organization else ""
        if thing.plural in ("organizations", "execution_environments", "instance_groups"):
            return name
        if thing.plural == "users":
            return str(thing["username"])
        if thing.plural == "credential_types":
            return f"{name}+{thing['kind']}"
        if thing.plural == "credentials":
            kind = self.get("credential_types", thing["credential_type"])
            return f"{name}++{kind['name']}+{kind['kind']}++{of}" if kind else None
        if thing.plural in ("hosts", "groups", "inventory_sources"):
            inventory = self.get("inventories", thing["inventory"])
            return f"{name}++{inventory['name']}++{of}" if inventory else None
        if thing.plural == "workflow_job_template_nodes":
            workflow = self.get("workflow_job_templates", thing["workflow_job_template"])
            return f"{thing['identifier']}++{workflow['name']}++{of}" if workflow else None
        if thing.plural in ("schedules", "workflow_approval_templates", "tokens", *JOBS):
            return None
        return f"{name}++{of}"

    def show(self, thing: Thing, *, listed: bool = False) -> dict[str, Any]:
        """The object as JSON; listed: as an item of a list, which has no named URL."""
        form = shape(thing.plural)
        related = {name: thing.url + below for name, below in (form.related if form else {}).items()}
        named = None if listed else self.named_url(thing)
        if named is not None:
            related["named_url"] = f"{API}{thing.plural}/{named}/"
        if thing.made_by is not None and thing.plural not in (
            "users",
            "instance_groups",
            "workflow_job_template_nodes",
        ):
            related["created_by"] = related["modified_by"] = f"{API}users/{thing.made_by}/"
        related.update(thing.more)
        fields = self._fields(thing)
        for name in REFERENCES:
            other = self.referred(name, fields.get(name)) if fields.get(name) is not None else None
            if other:
                related[name] = other.url
        if thing.plural == "schedules":
            related.update(self._of_schedule(thing))
        if thing.plural in ("job_templates", "workflow_job_templates"):
            related["webhook_receiver"] = ""
        return {
            **fields,
            "id": thing.id,
            "type": TYPES[thing.plural][0],
            "url": thing.url,
            "related": related,
            "summary_fields": self._summary(thing, fields),
            "created": NOW,
            "modified": NOW,
        }

    def _of_schedule(self, thing: Thing) -> dict[str, str]:
        template = self.template(thing["unified_job_template"])
        found = {}
        for name in ("project", "inventory"):
            other = self.referred(name, template[name]) if template and template[name] else None
            if other:
                found[name] = other.url
        return found

    def _fields(self, thing: Thing) -> dict[str, Any]:
        fields = dict(thing.fields)
        if thing.plural == "workflow_job_template_nodes":
            for name in ("success_nodes", "failure_nodes", "always_nodes"):
                fields[name] = list(thing.linked(name))
        elif thing.plural == "credentials":
            fields.update(self._of_credential(thing))
        elif thing.plural == "notification_templates":
            hidden = dict(fields["notification_configuration"])
            if hidden.get("password"):
                hidden["password"] = HIDDEN
            fields["notification_configuration"] = hidden
        elif thing.plural == "inventories":
            counted = {
                name: len(self.of(plural, "inventory", thing.id))
                for name, plural in (
                    ("hosts", "hosts"),
                    ("groups", "groups"),
                    ("inventory_sources", "inventory_sources"),
                )
            }
            fields.update({f"total_{name}": number for name, number in counted.items()})
            fields["has_inventory_sources"] = counted["inventory_sources"] > 0
        elif thing.plural == "schedules":
            fields.update(_times(str(fields["rrule"])))
            fields["next_run"] = fields.get("next_run") if fields["enabled"] else None
        elif thing.plural == "users":
            fields["password"] = HIDDEN
        return fields

    def _of_credential(self, thing: Thing) -> dict[str, Any]:
        kind = self.get("credential_types", thing["credential_type"])
        secret = {item["id"] for item in kind["inputs"].get("fields", ()) if item.get("secret")} if kind else set()
        inputs = {
            name: HIDDEN if name in secret and value else value for name, value in (thing["inputs"] or {}).items()
        }
        return {
            "inputs": inputs,
            "kind": kind["namespace"] if kind else None,
            "cloud": bool(kind and kind["kind"] == "cloud"),
        }

    def of(self, plural: str, name: str, number: int) -> list[Thing]:
        """The objects of a type whose field is that id."""
        return [thing for thing in self.all(plural) if thing[name] == number]

    def _summary(self, thing: Thing, fields: dict[str, Any]) -> dict[str, Any]:
        form = shape(thing.plural)
        found: dict[str, Any] = {}
        for name in REFERENCES:
            other = self.referred(name, fields.get(name)) if fields.get(name) is not None else None
            if other:
                found[name] = self.short(other)
        if thing.plural == "inventory_sources":
            organization = self.organization_of(thing)
            found.update({"organization": self.short(organization)} if organization else {})
        elif thing.plural == "workflow_approval_templates":
            nodes = self.of("workflow_job_template_nodes", "unified_job_template", thing.id)
            workflow = self.get("workflow_job_templates", nodes[0]["workflow_job_template"]) if nodes else None
            found.update({"workflow_job_template": self.short(workflow)} if workflow else {})
        elif thing.plural == "schedules":
            template = self.template(thing["unified_job_template"])
            inventory = self.get("inventories", template["inventory"]) if template else None
            found.update({"inventory": self.short(inventory)} if inventory else {})
        if thing.roles and form:
            found["object_roles"] = {name: {**form.roles[name], "id": thing.roles[name]} for name in thing.roles}
        for name in ("labels", "credentials"):
            if name in LINKS.get(thing.plural, {}):
                others = [self.get(name, number) for number in thing.linked(name)]
                items = [{"id": other.id, "name": other["name"]} for other in others if other]
                found[name] = {"count": len(items), "results": items} if name == "labels" else items
        if thing.made_by is not None:
            user = self.get("users", thing.made_by)
            if user:
                found["created_by"] = {"id": user.id, "username": user["username"]}
        return found

    def short(self, thing: Thing) -> dict[str, Any]:
        """An object as summary_fields have it."""
        found = {"id": thing.id, "name": thing["name"], "description": thing["description"] or ""}
        found.update({name: thing[name] for name in _SUMMARIES.get(thing.plural, ())})
        if thing.plural == "workflow_approval_templates":
            found.update(unified_job_type="workflow_approval", timeout=thing["timeout"])
        return found


def type_of(url: str) -> str:
    """The plural of what a URL is about."""
    return url[len(API) :].split("/")[0]


def plural_of(name: str) -> str:
    """The plural of a type."""
    return PLURAL[name]


def _times(rule: str) -> dict[str, Any]:
    """What AWX works out of a rule's DTSTART."""
    found = re.match(r"DTSTART(?:;TZID=([^:]+))?:(\d{8}T\d{6})", rule)
    if not found:
        return {}
    zone = found[1] or "UTC"
    start = datetime.strptime(found[2], "%Y%m%dT%H%M%S").replace(tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)
    text = start.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"dtstart": text, "next_run": text, "timezone": zone}
