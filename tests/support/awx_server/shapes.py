# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each type of object looks like: fields, related URLs and roles, taken from the recording, and the rules that it shows."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import Any, Optional

from .recording import created

#: {plural in the URL: (type, the model's name in a 404)}
TYPES = {
    "organizations": ("organization", "Organization"),
    "teams": ("team", "Team"),
    "users": ("user", "User"),
    "credential_types": ("credential_type", "CredentialType"),
    "credentials": ("credential", "Credential"),
    "execution_environments": ("execution_environment", "ExecutionEnvironment"),
    "projects": ("project", "Project"),
    "inventories": ("inventory", "Inventory"),
    "inventory_sources": ("inventory_source", "InventorySource"),
    "hosts": ("host", "Host"),
    "groups": ("group", "Group"),
    "labels": ("label", "Label"),
    "notification_templates": ("notification_template", "NotificationTemplate"),
    "instance_groups": ("instance_group", "InstanceGroup"),
    "instances": ("instance", "Instance"),
    "job_templates": ("job_template", "JobTemplate"),
    "workflow_job_templates": ("workflow_job_template", "WorkflowJobTemplate"),
    "workflow_job_template_nodes": ("workflow_job_template_node", "WorkflowJobTemplateNode"),
    "workflow_approval_templates": ("workflow_approval_template", "WorkflowApprovalTemplate"),
    "schedules": ("schedule", "Schedule"),
    "jobs": ("job", "Job"),
    "workflow_jobs": ("workflow_job", "WorkflowJob"),
    "workflow_job_nodes": ("workflow_job_node", "WorkflowJobNode"),
    "workflow_approvals": ("workflow_approval", "WorkflowApproval"),
    "project_updates": ("project_update", "ProjectUpdate"),
    "inventory_updates": ("inventory_update", "InventoryUpdate"),
    "applications": ("o_auth2_application", "OAuth2Application"),
    "tokens": ("o_auth2_access_token", "OAuth2AccessToken"),
}
PLURAL = {name: plural for plural, (name, _model) in TYPES.items()}

#: Those that share one sequence of ids, and are found together as unified_job_templates and unified_jobs.
TEMPLATES = ("projects", "job_templates", "workflow_job_templates", "inventory_sources", "workflow_approval_templates")
JOBS = ("jobs", "workflow_jobs", "workflow_approvals", "project_updates", "inventory_updates")

#: {field: plural of what it refers to}; "" where the id alone tells.
REFERENCES = {
    "organization": "organizations",
    "inventory": "inventories",
    "project": "projects",
    "source_project": "projects",
    "credential": "credentials",
    "webhook_credential": "credentials",
    "credential_type": "credential_types",
    "execution_environment": "execution_environments",
    "default_environment": "execution_environments",
    "workflow_job_template": "workflow_job_templates",
    "job_template": "job_templates",
    "unified_job_template": "",
    "inventory_source": "inventory_sources",
    "user": "users",
}

#: {plural: (the fields that are unique together, the error)}
UNIQUE = {
    "organizations": (("name",), "Organization with this Name already exists."),
    "execution_environments": (("name",), "Execution environment with this Name already exists."),
    "instance_groups": (("name",), "Instance group with this Name already exists."),
    "users": (("username",), "A user with that username already exists."),
    "teams": (("organization", "name"), "Team with this Organization and Name already exists."),
    "inventories": (("name", "organization"), "Inventory with this Name and Organization already exists."),
    "labels": (("name", "organization"), "Label with this Name and Organization already exists."),
    "projects": (("name", "organization"), "Project with this (name, organization) combination already exists."),
    "job_templates": (
        ("name", "organization"),
        "JobTemplate with this (name, organization) combination already exists.",
    ),
    "workflow_job_templates": (
        ("name", "organization"),
        "WorkflowJobTemplate with this (name, organization) combination already exists.",
    ),
    "credentials": (
        ("organization", "name", "credential_type"),
        "Credential with this Organization, Name and Credential type already exists.",
    ),
    "credential_types": (("name", "kind"), "Credential type with this Name and Kind already exists."),
    "notification_templates": (
        ("organization", "name"),
        "Notification template with this Organization and Name already exists.",
    ),
    "schedules": (
        ("unified_job_template", "name"),
        "Schedule with this Unified job template and Name already exists.",
    ),
    "workflow_job_template_nodes": (
        ("identifier", "workflow_job_template"),
        "Workflow job template node with this Identifier and Workflow job template already exists.",
    ),
    "hosts": (("name", "inventory"), "Host with this Name and Inventory already exists."),
    "groups": (("name", "inventory"), "Group with this Name and Inventory already exists."),
}

#: {plural: {link below an object: plural of what is linked}}
LINKS = {
    "organizations": {
        "instance_groups": "instance_groups",
        "galaxy_credentials": "credentials",
        "users": "users",
        "admins": "users",
    },
    "job_templates": {"credentials": "credentials", "labels": "labels", "instance_groups": "instance_groups"},
    "workflow_job_templates": {"labels": "labels"},
    "workflow_job_template_nodes": {
        "success_nodes": "workflow_job_template_nodes",
        "failure_nodes": "workflow_job_template_nodes",
        "always_nodes": "workflow_job_template_nodes",
        "credentials": "credentials",
        "labels": "labels",
        "instance_groups": "instance_groups",
    },
    "schedules": {"credentials": "credentials", "labels": "labels", "instance_groups": "instance_groups"},
    "inventories": {"instance_groups": "instance_groups", "labels": "labels"},
    "inventory_sources": {"credentials": "credentials"},
    "groups": {"hosts": "hosts", "children": "groups"},
    "instance_groups": {"instances": "instances"},
    "teams": {"users": "users"},
}
#: What also has notifications, and when.
NOTIFIED = {
    "organizations": ("started", "success", "error", "approvals"),
    "projects": ("started", "success", "error"),
    "inventory_sources": ("started", "success", "error"),
    "job_templates": ("started", "success", "error"),
    "workflow_job_templates": ("started", "success", "error", "approvals"),
}
for _plural, _events in NOTIFIED.items():
    LINKS.setdefault(_plural, {}).update(
        {f"notification_templates_{event}": "notification_templates" for event in _events}
    )

#: {plural: {list below an object: (plural of its items, their field that names the object)}}
LISTS = {
    "workflow_job_templates": {"workflow_nodes": ("workflow_job_template_nodes", "workflow_job_template")},
    "inventories": {
        "hosts": ("hosts", "inventory"),
        "groups": ("groups", "inventory"),
        "inventory_sources": ("inventory_sources", "inventory"),
    },
    "organizations": {
        name: (name, "organization") for name in ("projects", "inventories", "job_templates", "teams", "credentials")
    },
}

#: What a field is where a creation does not say, and the recording's own creation did.
_DEFAULTS = {
    ("job_templates", "job_slice_count"): 1,
    ("job_templates", "job_type"): "run",
    ("hosts", "enabled"): True,
    ("schedules", "enabled"): True,
    ("inventory_sources", "verbosity"): 1,
    ("inventories", "host_filter"): None,
    ("workflow_job_template_nodes", "extra_data"): {},
    ("execution_environments", "credential"): None,
    ("notification_templates", "messages"): {
        "started": None,
        "success": None,
        "error": None,
        "workflow_approval": None,
    },
}
_OWN = ("id", "type", "url", "related", "summary_fields", "created", "modified")


@dataclass(frozen=True)
class Shape:
    """fields: the defaults; related: {name: what comes below the object's own URL}; roles: {name: as it is shown, without id}."""

    fields: dict[str, Any]
    related: dict[str, str]
    roles: dict[str, dict[str, Any]]


@functools.cache
def shape(plural: str) -> Optional[Shape]:
    """The shape of a type, from the creation that was recorded; None for a type of which none was."""
    name = TYPES[plural][0]
    if name not in created():
        return None
    body, answer = created()[name]
    body = body if isinstance(body, dict) else {}
    fields = {
        key: copy.deepcopy(_default(plural, key, value, key in body))
        for key, value in answer.items()
        if key not in _OWN and key != name
    }
    url = answer["url"]
    related = {
        key: value[len(url) :] for key, value in answer["related"].items() if value.startswith(url) and value != url
    }
    roles = {
        key: {word: text for word, text in role.items() if word != "id"}
        for key, role in answer["summary_fields"].get("object_roles", {}).items()
    }
    return Shape(fields, related, roles)


def _default(plural: str, key: str, value: Any, given: bool) -> Any:
    if (plural, key) in _DEFAULTS:
        return _DEFAULTS[plural, key]
    if key in REFERENCES:
        return None
    if not given:
        return value
    return {bool: False, int: 0, str: "", dict: {}, list: []}.get(type(value))
