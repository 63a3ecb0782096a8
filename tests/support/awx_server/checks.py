# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What AWX refuses of a body, in its own words: one function a type, with the errors by field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Optional

import jinja2
import jinja2.sandbox
import yaml

from . import surveys
from .shapes import REFERENCES, UNIQUE
from .store import Store, Thing

Errors = dict[str, Any]
REQUIRED = "This field is required."
_IMAGE = re.compile(r"^[a-zA-Z0-9][\w.\-]*(:\d+)?(/[\w.\-]+)*(:[\w.\-]+)?(@sha256:[0-9a-f]{64})?$")
_NEEDED = {
    "organizations": ("name",),
    "teams": ("name", "organization"),
    "projects": ("name",),
    "inventories": ("name", "organization"),
    "labels": ("name", "organization"),
    "credentials": ("name", "credential_type"),
    "credential_types": ("name", "kind"),
    "notification_templates": ("name", "organization", "notification_type"),
    "job_templates": ("name",),
    "workflow_job_templates": ("name",),
    "workflow_job_template_nodes": ("workflow_job_template",),
    "schedules": ("name", "unified_job_template", "rrule"),
    "hosts": ("name", "inventory"),
    "groups": ("name", "inventory"),
}


def refusal(store: Store, plural: str, body: Mapping[str, Any], old: Optional[Thing]) -> Optional[Errors]:
    """What is wrong with a body: of a new object, or of a change to an old one."""
    errors: Errors = {}
    if old is None:
        errors.update({name: [REQUIRED] for name in _NEEDED.get(plural, ()) if body.get(name) in (None, "")})
    errors.update(_types(store, plural, body))
    if errors:
        return errors
    whole = {**(old.fields if old else {}), **body}
    if old is None and plural == "job_templates" and isinstance(body.get("project"), int):
        project = store.get("projects", body["project"])
        whole["organization"] = project["organization"] if project else None
    if plural == "job_templates" and store.get("projects", whole.get("project")) is None:
        return {"project": ["Job Templates must have a project assigned."]}
    twin = _twin(store, plural, whole, old)
    if twin:
        return twin
    check = _CHECKS.get(plural)
    return (check(store, whole, old, body) if check else None) or None


def _types(store: Store, plural: str, body: Mapping[str, Any]) -> Errors:
    errors: Errors = {}
    for name, value in body.items():
        if name in REFERENCES and value not in (None, ""):
            if not isinstance(value, int) or isinstance(value, bool):
                errors[name] = [f"Incorrect type. Expected pk value, received {type(value).__name__}."]
            elif store.referred(name, value) is None:
                errors[name] = [f'Invalid pk "{value}" - object does not exist.']
        elif name == "job_type" and value not in ("run", "check", "", None):
            errors[name] = [f'"{value}" is not a valid choice.']
        elif name in ("forks", "job_slice_count", "timeout") and value is not None:
            if not str(value).lstrip("-").isdigit():
                errors[name] = ["A valid integer is required."]
        elif name == "verbosity" and str(value) not in ("0", "1", "2", "3", "4", "5", "None"):
            errors[name] = [f'"{value}" is not a valid choice.']
        elif name == "diff_mode" and not isinstance(value, (bool, type(None))):
            errors[name] = ["Must be a valid boolean."]
        elif name in ("variables", "extra_vars", "source_vars") and plural != "launch":
            wrong = bad_variables(value)
            if wrong:
                errors[name] = [wrong]
        elif name == "policy_instance_percentage" and value > 100:
            errors[name] = ["Ensure this value is less than or equal to 100."]
    return errors


def bad_variables(value: Any) -> Optional[str]:
    """Why a text is no variables."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        return "Not a valid string."
    try:
        json.loads(value)
    except ValueError as error:
        try:
            yaml.safe_load(value)
        except yaml.YAMLError as other:
            return f"Cannot parse as JSON (error: {error}) or YAML (error: {other})."
    return None


def _twin(store: Store, plural: str, whole: Mapping[str, Any], old: Optional[Thing]) -> Optional[Errors]:
    if plural not in UNIQUE:
        return None
    names, text = UNIQUE[plural]
    key = [whole.get(name) for name in names]
    if any(part is None for part in key[:-1]) and plural != "credentials":
        return None
    for other in store.all(plural):
        if other is not old and [other[name] for name in names] == key:
            return {names[0]: [text]} if len(names) == 1 else {"__all__": [text]}
    return None


def _job_template(store: Store, whole: Mapping[str, Any], old: Optional[Thing], body: Mapping[str, Any]) -> Errors:
    project = store.things["projects"][whole["project"]]
    if whole.get("inventory") is None and not whole.get("ask_inventory_on_launch"):
        return {"inventory": ["You must either set a default value or ask to prompt on launch."]}
    if whole.get("scm_branch") and not project["allow_override"]:
        return {"scm_branch": ["Project does not allow overriding branch."]}
    known = getattr(store, "playbooks", {}).get(project.id)
    if known is not None and not project["allow_override"] and whole.get("playbook") not in known:
        return {"playbook": ["Playbook not found for project."]}
    return {}


def _credential(store: Store, whole: Mapping[str, Any], old: Optional[Thing], body: Mapping[str, Any]) -> Errors:
    if not any(whole.get(name) for name in ("organization", "user", "team")):
        return {"detail": ["Missing 'user', 'team', or 'organization'."]}
    kind = store.get("credential_types", whole["credential_type"])
    known = {item["id"]: item for item in kind["inputs"].get("fields", ())} if kind else {}
    for name, value in (whole.get("inputs") or {}).items():
        if name not in known:
            return {"inputs": [f"Additional properties are not allowed ('{name}' was unexpected)"]}
        real = isinstance(value, str) and (value.startswith("-----BEGIN") or value == surveys.HIDDEN)
        if known[name].get("format") == "ssh_private_key" and value and not real:
            return {"inputs": {name: [f"Invalid certificate or key: {value[:100]}..."]}}
    return {}


def _credential_type(store: Store, whole: Mapping[str, Any], old: Optional[Thing], body: Mapping[str, Any]) -> Errors:
    if whole.get("kind") not in ("cloud", "net"):
        return {"kind": [f"Must be 'cloud' or 'net', not {whole.get('kind')}"]}
    known = {item["id"]: "x" for item in (whole.get("inputs") or {}).get("fields", ())}
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    context = {**known, "tower": {"filename": dict.fromkeys((whole.get("injectors") or {}).get("file", {}), "x")}}
    for values in (whole.get("injectors") or {}).values():
        for name, text in values.items():
            try:
                environment.from_string(text).render(context)
            except jinja2.UndefinedError as error:
                return {"injectors": [f"{name} uses an undefined field ({error})"]}
    return {}


def _image(store: Store, whole: Mapping[str, Any], old: Optional[Thing], body: Mapping[str, Any]) -> Errors:
    image = whole.get("image") or ""
    return {} if _IMAGE.match(image) else {"image": [f"The container image name {image} is not valid"]}


def _source(store: Store, whole: Mapping[str, Any], old: Optional[Thing], body: Mapping[str, Any]) -> Errors:
    if whole.get("source") == "scm" and not whole.get("source_project"):
        return {"source_project": ["Project required for scm type sources."]}
    project = store.get("projects", whole.get("source_project"))
    if whole.get("scm_branch") and project is not None and not project["allow_override"]:
        return {"scm_branch": ["Project does not allow overriding branch."]}
    return {}


def _notification(store: Store, whole: Mapping[str, Any], old: Optional[Thing], body: Mapping[str, Any]) -> Errors:
    settings = whole.get("notification_configuration") or {}
    if whole.get("notification_type") == "webhook":
        absent = [name for name in ("url", "headers") if name not in settings]
        if absent:
            return {"__all__": [f"Missing required fields for Notification Configuration: {absent}."]}
        if settings.get("http_method", "POST").upper() not in ("POST", "PUT"):
            return {"__all__": ["HTTP method must be either 'POST' or 'PUT'."]}
    return _messages(body.get("messages") or {})


#: The words that messages can use, which are objects with anything in them here.
_WORDS = ("job", "job_friendly_name", "job_metadata", "url", "approval_node_name", "approval_status", "workflow_url")


def _messages(messages: Mapping[str, Any]) -> Errors:
    events = ("started", "success", "error", "workflow_approval")
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    context = {word: _Anything() for word in _WORDS}
    for event, message in messages.items():
        if event not in events:
            allowed = f"'{events[0]}', '{events[1]}', '{events[2]}', or '{events[3]}'"
            return {"messages": [f"Event '{event}' invalid, must be one of {allowed}"]}
        each = message.values() if event == "workflow_approval" and message else [message]
        for text in [text for item in each if item for text in item.values() if text]:
            try:
                environment.from_string(text).render(context)
            except jinja2.UndefinedError as error:
                return {"messages": [f"Field '{str(error).split(chr(39))[1]}' unavailable"]}
    return {}


class _Anything:
    """Has every attribute."""

    def __getattr__(self, name: str) -> Any:
        return "" if name.startswith("_") else self


def _schedule(store: Store, whole: Mapping[str, Any], old: Optional[Thing], body: Mapping[str, Any]) -> Errors:
    rule = str(whole.get("rrule", ""))
    wrong = []
    if "DTSTART" not in rule:
        wrong += [
            "Valid DTSTART required in rrule. Value should start with: DTSTART:YYYYMMDDTHHMMSSZ",
            "One or more rule required in rrule.",
            "rrule parsing failed validation: A valid TZID must be provided (e.g., America/New_York)",
        ]
    part = rule.partition("RRULE")[2]
    if part and "INTERVAL" not in part:
        wrong.append(f"INTERVAL required in rrule: RULE{part}")
    if "SECONDLY" in part:
        wrong.append(f"SECONDLY is not supported: RULE{part}")
    return {"rrule": wrong} if wrong else _prompts(store, whole, body, needed=True)


#: {field: what a template must ask for it}.
PROMPTS = {
    "limit": "ask_limit_on_launch",
    "job_type": "ask_job_type_on_launch",
    "job_tags": "ask_tags_on_launch",
    "skip_tags": "ask_skip_tags_on_launch",
    "diff_mode": "ask_diff_mode_on_launch",
    "verbosity": "ask_verbosity_on_launch",
    "scm_branch": "ask_scm_branch_on_launch",
    "inventory": "ask_inventory_on_launch",
    "forks": "ask_forks_on_launch",
    "job_slice_count": "ask_job_slice_count_on_launch",
    "timeout": "ask_timeout_on_launch",
    "execution_environment": "ask_execution_environment_on_launch",
}


def _prompts(store: Store, whole: Mapping[str, Any], body: Mapping[str, Any], *, needed: bool) -> Errors:
    """What is wrong with what a schedule or a node gives the template of it."""
    template = store.template(whole.get("unified_job_template"))
    if template is None:
        return {}
    errors: Errors = {
        name: ["Field is not configured to prompt on launch."]
        for name, ask in PROMPTS.items()
        if body.get(name) is not None and not template[ask]
    }
    given = body.get("extra_data") or {}
    survey = template.survey if template["survey_enabled"] else {}
    asked = {question["variable"] for question in survey.get("spec", ())}
    stray = [name for name in given if name not in asked] if not template["ask_variables_on_launch"] else []
    if stray:
        errors["extra_data"] = [
            f"Variables {', '.join(stray)} are not allowed on launch. Check the Prompt on Launch setting on the Job Template "
            "to include Extra Variables."
        ]
    wrong = surveys.wrong_answers(survey, given, needed=needed and not errors)
    if wrong:
        errors["variables_needed_to_start"] = wrong
    return errors


def _node(store: Store, whole: Mapping[str, Any], old: Optional[Thing], body: Mapping[str, Any]) -> Errors:
    return _prompts(store, whole, body, needed=False) if old is None else {}


_CHECKS: dict[str, Callable[[Store, Mapping[str, Any], Optional[Thing], Mapping[str, Any]], Errors]] = {
    "job_templates": _job_template,
    "credentials": _credential,
    "credential_types": _credential_type,
    "execution_environments": _image,
    "inventory_sources": _source,
    "notification_templates": _notification,
    "schedules": _schedule,
    "workflow_job_template_nodes": _node,
}
