# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be in AWX, checked as a whole before the first request: templates, workflow, rights, schedules, credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.awx.surveys import required

#: What a template can ask for at its launch, as ask_X_on_launch.
ASKS = ("limit", "job_slice_count", "tags", "skip_tags", "verbosity", "diff_mode", "inventory", "scm_branch")
#: The credentials that this collection has a use for.
CREDENTIALS = ("ssh", "tailnet", "tailnet_policy", "maas")
#: How AWX takes an image: no scheme, no blank.
_IMAGE = re.compile(r"[\w.\-]+(:\d+)?(/[\w.\-]+)*(:[\w.\-]+)?(@sha256:[0-9a-f]{64})?")
#: A password in a URL: it would stand in AWX for everybody who sees the project, and in what is printed.
PASSWORD = re.compile(r"//[^/?#]*:[^/?#]*@")
_LINKS = ("success", "failure", "always")
#: What a name that is looked up together with its organization's has no place for: AWX's named URLs, and the path that they are in.
_UNNAMEABLE = re.compile(r"[+/%\[\]]|^\s|\s$|^\d+$")
#: What each key of a template is, where it is there.
_KINDS: dict[str, tuple[type, str]] = {
    "name": (str, "a text"),
    "playbook": (str, "a text"),
    "description": (str, "a text"),
    "inventory": (str, "a text"),
    "job_type": (str, "run or check"),
    "limit": (str, "a text"),
    "scm_branch": (str, "a text"),
    "survey": (str, "a text"),
    "diff_mode": (bool, "true or false"),
    "asks": (list, "a list"),
    "credentials": (list, "a list"),
    "extra_vars": (dict, "variables"),
}


def mistakes(found: Mapping[str, Any], surveys: Mapping[str, Mapping[str, Any]]) -> Iterator[Mistake]:
    """All that is wrong with a definition. found: as roles/awx/vars has it; surveys: by name."""
    yield from _settings(found)
    wrong = [*_kinds(found)]
    yield from wrong
    if wrong:
        return
    names = [template.get("name") for template in found["templates"]]
    yield from _templates(found, names, surveys)
    yield from _workflow(found["workflow"], names, surveys)
    yield from _rights(found["rights"], names, found["workflow"]["name"])
    yield from _schedules(found, surveys)


def _kinds(found: Mapping[str, Any]) -> Iterator[Mistake]:
    """What is of another type than the rest of this takes it for."""
    for index, template in enumerate(found["templates"]):
        where = f"template {printable(template.get('name') or index)}"
        for key, value in template.items():
            if key == "slices":
                if not _is_number(value, 1):
                    yield Mistake(f"{where}.slices", printable(value), "a whole number from 1", "correct it")
            elif key not in _KINDS:
                remedy = "correct it: AWX would be told nothing of it"
                yield Mistake(
                    f"{where}.{printable(key)}", "no key of a template", f"some of {', '.join(_KINDS)}, slices", remedy
                )
            elif not isinstance(value, _KINDS[key][0]):
                yield Mistake(f"{where}.{key}", printable(repr(value)), _KINDS[key][1], "correct it")
        if template.get("job_type", "run") not in ("run", "check"):
            yield Mistake(f"{where}.job_type", printable(template["job_type"]), "run or check", "correct it")
        for key in ("asks", "credentials"):
            for item in template.get(key) or () if isinstance(template.get(key), list) else ():
                if not isinstance(item, str):
                    yield Mistake(f"{where}.{key}", printable(repr(item)), "texts", "correct it")
    for index, schedule in enumerate(found["schedules"]):
        where = f"schedule {printable(schedule.get('name') or index)}"
        for key in ("name", "template", "rrule"):
            if not isinstance(schedule.get(key), str) or not schedule[key].strip():
                got = printable(repr(schedule[key])) if key in schedule else "nothing"
                yield Mistake(f"{where}.{key}", got, "a text", "correct it")
        if not isinstance(schedule.get("answers", {}), Mapping):
            yield Mistake(
                f"{where}.answers", printable(repr(schedule["answers"])), "variables with values", "correct it"
            )


def _is_number(value: Any, least: int) -> bool:
    """A whole number, or a text that is one: Ansible's templates give either."""
    text = str(value)
    return not isinstance(value, (bool, float)) and text.isdecimal() and least <= int(text) < 1 << 31


def _settings(found: Mapping[str, Any]) -> Iterator[Mistake]:
    for name, value, expected in (
        ("awx_organization", found["organization"], "the name of an organization"),
        ("awx_prefix", found["prefix"], "a text that all names begin with"),
        ("awx_project_url", found["project"]["url"], "the URL of the site's git repository"),
        ("awx_execution_environment", found["execution_environment"], "an image with this collection in it"),
    ):
        if not isinstance(value, str) or not value.strip():
            yield Mistake(name, "nothing", expected, "set it")
    if PASSWORD.search(str(found["project"]["url"])):
        remedy = "put it into a credential of AWX's type Source Control, and name that in awx_project_credential"
        yield Mistake("awx_project_url", "a URL with a password in it", "one without", remedy)
    for name, value in (("awx_organization", found["organization"]), ("awx_prefix", found["prefix"])):
        if isinstance(value, str) and value.strip() and _UNNAMEABLE.search(value):
            remedy = "AWX finds credentials and inventories by a URL of these names"
            yield Mistake(name, printable(value), "a name without + / % [ ], blanks around it, or digits alone", remedy)
    for name, value in found["numbers"].items():
        least = 1 if name == "awx_slices" else 0
        if not _is_number(value, least):
            yield Mistake(name, printable(repr(value)), f"a whole number from {least}", "correct it")
    image = str(found["execution_environment"] or "")
    if image.strip() and not _IMAGE.fullmatch(image):
        yield Mistake(
            "awx_execution_environment", printable(image), "REGISTRY/NAME:TAG", "AWX takes no scheme and no blank"
        )
    for name in found["credentials"]:
        if name not in CREDENTIALS:
            yield Mistake("awx_credentials", printable(name), f"some of {', '.join(CREDENTIALS)}", "correct it")
    if "maas" not in found["credentials"] and any(source.get("credential") for source in found["sources"]):
        remedy = "name it there: the source of the inventory is read with it"
        yield Mistake("awx_credentials", "no maas, but an awx_maas_inventory_path", "maas among them", remedy)
    for name in found["credential_inputs"]:
        if name not in found["credentials"]:
            known = ", ".join(map(printable, found["credentials"])) or "nothing"
            yield Mistake(
                "awx_credential_inputs",
                printable(name),
                f"what awx_credentials names ({known})",
                "name it there as well",
            )


def _templates(
    found: Mapping[str, Any], names: Sequence[Any], surveys: Mapping[str, Mapping[str, Any]]
) -> Iterator[Mistake]:
    taken = (
        found["workflow"]["name"],
        *(source["name"].removeprefix(f"{found['prefix']} ") for source in found["sources"]),
    )
    for index, template in enumerate(found["templates"]):
        name = template.get("name")
        where = f"template {printable(name)}" if name else f"templates[{index}]"
        if not name:
            yield Mistake(f"{where}.name", "nothing", "a name", "give it one")
        elif names.index(name) < index or name in taken:
            yield Mistake(
                where, "two of that name", "names of their own", "AWX finds nodes and schedules by the name alone"
            )
        if not template.get("playbook"):
            yield Mistake(f"{where}.playbook", "nothing", "a file of the project", "name it")
        asks = template.get("asks") or ()
        for ask in asks:
            if ask not in ASKS:
                yield Mistake(f"{where}.asks", printable(ask), f"some of {', '.join(ASKS)}", "correct it")
        inventory = template.get("inventory")
        if not inventory and "inventory" not in asks:
            yield Mistake(
                f"{where}.inventory", "nothing", "an inventory", "name it, or have it asked for at the launch"
            )
        elif inventory and inventory not in found["inventories"]:
            known = ", ".join(found["inventories"])
            yield Mistake(f"{where}.inventory", printable(inventory), f"one of {known}", "correct it")
        for credential in template.get("credentials") or ():
            if credential not in found["credentials"]:
                known = ", ".join(map(printable, found["credentials"])) or "nothing"
                remedy = "name it in awx_credentials as well"
                yield Mistake(f"{where}.credentials", printable(credential), f"some of {known}", remedy)
        yield from _survey_of(where, template, surveys)


def _survey_of(where: str, owner: Mapping[str, Any], surveys: Mapping[str, Mapping[str, Any]]) -> Iterator[Mistake]:
    survey = owner.get("survey")
    if survey and survey not in surveys:
        known = ", ".join(sorted(surveys)) or "nothing"
        yield Mistake(f"{where}.survey", printable(survey), f"a file of awx_surveys ({known})", "correct it, or add it")


def _workflow(
    workflow: Mapping[str, Any], names: Sequence[Any], surveys: Mapping[str, Mapping[str, Any]]
) -> Iterator[Mistake]:
    yield from _survey_of("workflow", workflow, surveys)
    known: list[str] = []
    for node in workflow["nodes"]:
        where = f"workflow node {printable(node.get('identifier'))}"
        if not node.get("approval") and node.get("template") not in names:
            yield Mistake(f"{where}.template", printable(node.get("template")), "a template", "correct it")
        for link in _LINKS:
            for other in node.get(link, ()):
                if other not in known:
                    remedy = "nodes stand after those that they lead to, and none leads back"
                    yield Mistake(
                        f"{where}.{link}", printable(other), f"one of {', '.join(known) or 'nothing'}", remedy
                    )
        known.append(str(node.get("identifier")))


def _rights(rights: Sequence[Mapping[str, Any]], names: Sequence[Any], workflow: str) -> Iterator[Mistake]:
    for right in rights:
        where = f"rights of {printable(right['team'])}"
        for template in right["templates"]:
            if template not in names:
                yield Mistake(f"{where}.templates", printable(template), "a template", "correct it")
        for name in right["workflows"]:
            if name != workflow:
                yield Mistake(f"{where}.workflows", printable(name), workflow, "correct it")


def _schedules(found: Mapping[str, Any], surveys: Mapping[str, Mapping[str, Any]]) -> Iterator[Mistake]:
    templates = {template.get("name"): template for template in found["templates"]}
    for schedule in found["schedules"]:
        where = f"schedule {printable(schedule.get('name'))}"
        rule = str(schedule.get("rrule") or "")
        if "DTSTART" not in rule or "INTERVAL=" not in rule or "SECONDLY" in rule:
            expected = "DTSTART:YYYYMMDDTHHMMSSZ RRULE:FREQ=DAILY;INTERVAL=1 or the like"
            yield Mistake(f"{where}.rrule", printable(rule) or "nothing", expected, "AWX demands DTSTART and INTERVAL")
        template = templates.get(schedule.get("template"))
        if template is None:
            yield Mistake(f"{where}.template", printable(schedule.get("template")), "a template", "correct it")
            continue
        survey = surveys.get(str(template.get("survey")))
        absent = [name for name in required(survey) if name not in schedule.get("answers", {})] if survey else []
        if absent:
            remedy = "AWX never fills them from a default"
            yield Mistake(f"{where}.answers", f"nothing for {', '.join(absent)}", "an answer to each", remedy)
