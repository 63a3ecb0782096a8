# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Surveys: what may be saved, and which answers a launch takes, in AWX's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

KINDS = ("text", "textarea", "password", "multiplechoice", "multiselect", "integer", "float")
HIDDEN = "$encrypted$"


def refusal(survey: Any, before: Mapping[str, Any]) -> Optional[str]:
    """What is wrong with a survey that is to be saved; before: the one that it replaces."""
    for name, kind, word in (("name", str, "string"), ("description", str, "string"), ("spec", list, "list of items")):
        if name not in survey:
            return f"Field '{name}' is missing from survey spec."
        if not isinstance(survey[name], kind):
            said = {dict: "OrderedDict"}.get(type(survey[name]), type(survey[name]).__name__)
            return f"Expected {word} for field '{name}', received {said} type."
    if not survey["spec"]:
        return "'spec' doesn't contain any items."
    seen: set[str] = set()
    for index, question in enumerate(survey["spec"]):
        wrong = _question(index, question, seen) or _hidden(index, question, before)
        if wrong:
            return wrong
        seen.add(question["variable"])
    return None


def _question(index: int, question: Any, seen: set[str]) -> Optional[str]:
    if not isinstance(question, Mapping):
        return f"Survey question {index} is not a json object."
    for name in ("type", "question_name", "variable"):
        if name not in question:
            return f"'{name}' missing from survey question {index}"
        if not isinstance(question[name], str):
            return f"'{name}' in survey question {index} expected to be string."
        if name == "type" and question["type"] not in KINDS:
            allowed = ", ".join(KINDS)
            return f"'{question['type']}' in survey question {index} is not one of '{allowed}' allowed question types."
    if question["variable"] in seen:
        return f"'variable' '{question['variable']}' duplicated in survey question {index}."
    if "required" not in question:
        return f"'required' missing from survey question {index}"
    if not isinstance(question["required"], bool):
        return f"'required' in survey question {index} expected to be boolean."
    for name in ("min", "max"):
        if question.get(name) is not None and not isinstance(question[name], int):
            return f"The {name} limit in survey question {index} expected to be integer."
    return _choices(index, question)


def _choices(index: int, question: Mapping[str, Any]) -> Optional[str]:
    kind, default = question["type"], question.get("default", "")
    if kind in ("multiplechoice", "multiselect") and "choices" not in question:
        return f"Survey question {index} of type {kind} must specify choices."
    if default != "" and default is not None:
        wanted = {"integer": (int, "integer"), "float": ((int, float), "numeric type")}.get(kind, (str, "string"))
        if not isinstance(default, wanted[0]):
            return f"Default value {default} in survey question {index} expected to be {wanted[1]}."
        if kind in ("multiplechoice", "multiselect"):
            answers = default.splitlines() if kind == "multiselect" else [default]
            if not set(answers) <= set(choices_of(question)):
                return "Default choice must be answered from the choices listed."
    return None


def _hidden(index: int, question: Mapping[str, Any], before: Mapping[str, Any]) -> Optional[str]:
    if question.get("default") != HIDDEN:
        return None
    if question["type"] != "password":
        return (
            f"{HIDDEN} is a reserved keyword for password question defaults, survey question {index} is type "
            f"{question['type']}."
        )
    known = [old for old in before.get("spec", ()) if old["variable"] == question["variable"] and old.get("default")]
    return None if known else f"{HIDDEN} is a reserved keyword, may not be used for new default in position {index}."


def choices_of(question: Mapping[str, Any]) -> list[str]:
    choices = question["choices"]
    return choices.splitlines() if isinstance(choices, str) else list(choices)


def missing(survey: Mapping[str, Any]) -> list[str]:
    """The variables that a launch must bring."""
    return [question["variable"] for question in survey.get("spec", ()) if question["required"]]


def wrong_answers(survey: Mapping[str, Any], given: Mapping[str, Any], *, needed: bool = True) -> list[str]:
    """What is wrong with the answers of a launch; needed: whether those that are required must be there."""
    found = []
    for question in survey.get("spec", ()):
        name = question["variable"]
        if name not in given:
            if question["required"] and needed:
                found.append(f"'{name}' value missing")
            continue
        wrong = _answer(question, given[name])
        if wrong:
            found.append(wrong)
    return found


def _answer(question: Mapping[str, Any], value: Any) -> Optional[str]:
    name, kind = question["variable"], question["type"]
    low, high = question.get("min"), question.get("max")
    if kind in ("text", "textarea", "password"):
        if not isinstance(value, str):
            return f"Value {value} for '{name}' expected to be a string."
        return _within(name, value, len(value), low, high, "small", "large") if value != HIDDEN else None
    if kind in ("integer", "float"):
        wanted: Any = int if kind == "integer" else (int, float)
        if not isinstance(value, wanted) or isinstance(value, bool):
            return (
                f"Value {value} for '{name}' expected to be {'an integer' if kind == 'integer' else 'a numeric type'}."
            )
        return _within(name, value, value, low, high, "small", "large")
    choices = choices_of(question)
    if kind == "multiselect":
        if not isinstance(value, list):
            return f"'{name}' value is expected to be a list."
        wrong = [item for item in value if item not in choices]
        return f"Value {wrong[0]} for '{name}' expected to be one of {choices}." if wrong else None
    return None if value in choices else f"Value {value} for '{name}' expected to be one of {choices}."


def _within(name: str, value: Any, size: Any, low: Any, high: Any, small: str, large: str) -> Optional[str]:
    if low not in (None, "") and size < low:
        return f"'{name}' value {value} is too {small} (must be at least {low})."
    if high not in (None, "") and size > high:
        return f"'{name}' value {value} is too {large} (must be no more than {high})."
    return None


def defaults(survey: Mapping[str, Any]) -> dict[str, Any]:
    """The answers that optional questions give themselves."""
    return {
        question["variable"]: question["default"]
        for question in survey.get("spec", ())
        if not question["required"] and "default" in question and question["default"] is not None
    }
