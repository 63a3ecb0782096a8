# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Surveys of AWX's templates, as JSON files: read, filled with the site's tiers, and checked as AWX checks them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: The variable of the question for tiers; without choices of its own it gets those of the site.
TIERS = "change_tiers"
#: The types of a question that AWX has. A password is no question here: an answer is stored with the job.
TYPES = ("text", "textarea", "multiplechoice", "multiselect", "integer", "float")
#: What a default has to be.
_DEFAULTS: dict[str, tuple[tuple[type, ...], str]] = {
    "integer": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
}
#: What AWX shows instead of a password, and takes for nothing else.
HIDDEN = "$encrypted$"
_CHOOSING = ("multiplechoice", "multiselect")


def read_surveys(folder: str, tiers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """{name: survey} of the files NAME.json in a folder; Refused with all that is wrong in any of them.

    tiers: those of the site, which are the choices of the question for tiers, and what its choices are held against.
    """
    found: dict[str, dict[str, Any]] = {}
    wrong: list[Mistake] = []
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except OSError as error:
        raise Refused(
            [Mistake("awx_surveys", f"{printable(folder)} ({error.strerror})", "a folder of NAME.json", "name one")]
        ) from error
    for file in names:
        try:
            with open(os.path.join(folder, file), encoding="utf-8") as stream:
                survey = json.load(stream)
        except (OSError, ValueError) as error:
            wrong.append(Mistake(f"survey {printable(file)}", printable(error), "a survey as JSON", "correct the file"))
            continue
        mistakes = list(_survey(f"survey {printable(file)}", survey, tiers))
        wrong += mistakes
        if not mistakes:
            found[file.removesuffix(".json")] = _filled(survey, tiers)
    if wrong:
        raise Refused(wrong)
    return found


def required(survey: Mapping[str, Any]) -> list[str]:
    """The variables that a launch must bring: AWX never fills them from a default."""
    return [question["variable"] for question in survey["spec"] if question["required"]]


def _filled(survey: Mapping[str, Any], tiers: Sequence[str]) -> dict[str, Any]:
    """The survey with the site's tiers where it leaves the choice to them."""
    questions = [
        {**question, "choices": list(tiers)}
        if question["variable"] == TIERS and not question.get("choices")
        else question
        for question in survey["spec"]
    ]
    return {"name": survey["name"], "description": survey["description"], "spec": questions}


def _survey(path: str, survey: Any, tiers: Sequence[str]) -> Iterator[Mistake]:
    if not isinstance(survey, Mapping):
        yield Mistake(path, type(survey).__name__, "an object with name, description and spec", "correct the file")
        return
    for name in ("name", "description"):
        if not isinstance(survey.get(name), str):
            yield Mistake(f"{path}: {name}", _got(survey, name), "a text, which may be empty", "AWX demands it")
    spec = survey.get("spec")
    if not isinstance(spec, list) or not spec:
        yield Mistake(f"{path}: spec", _got(survey, "spec"), "a list of questions", "AWX takes no survey without any")
        return
    seen: set[str] = set()
    for index, question in enumerate(spec):
        where = f"{path}: spec[{index}]"
        if not isinstance(question, Mapping):
            yield Mistake(where, type(question).__name__, "a question, an object", "correct the file")
            continue
        yield from _question(where, question, seen, tiers)
        seen.add(str(question.get("variable")))


def _question(where: str, question: Mapping[str, Any], seen: set[str], tiers: Sequence[str]) -> Iterator[Mistake]:
    for name in ("question_name", "variable"):
        if not isinstance(question.get(name), str) or not question[name].strip():
            yield Mistake(f"{where}.{name}", _got(question, name), "a text", "AWX demands it")
    if not isinstance(question.get("required"), bool):
        yield Mistake(f"{where}.required", _got(question, "required"), "true or false", "AWX demands it")
    variable, kind = str(question.get("variable")), question.get("type")
    if variable in seen:
        yield Mistake(f"{where}.variable", printable(variable), "a variable that no other question sets", "rename one")
    if variable.startswith("bulkhead_"):
        remedy = "an answer declares nothing: name it otherwise"
        yield Mistake(f"{where}.variable", printable(variable), "a name without bulkhead_ in front", remedy)
    if kind == "password":
        remedy = "AWX keeps answers with the job: use a credential"
        yield Mistake(f"{where}.type", "password", f"one of {', '.join(TYPES)}", remedy)
    elif kind not in TYPES:
        yield Mistake(f"{where}.type", _got(question, "type"), f"one of {', '.join(TYPES)}", "correct it")
    else:
        yield from _answers(where, question, tiers)


def _answers(where: str, question: Mapping[str, Any], tiers: Sequence[str]) -> Iterator[Mistake]:
    """Limits, choices and the default of a question."""
    kind, default = question["type"], question.get("default", "")
    for name in ("min", "max"):
        if question.get(name) is not None and not isinstance(question[name], int):
            yield Mistake(f"{where}.{name}", _got(question, name), "a whole number", "correct it")
    kinds, expected = _DEFAULTS.get(kind, ((str,), "a text, for several choices one on each line"))
    if default not in ("", None) and (not isinstance(default, kinds) or isinstance(default, bool) or default == HIDDEN):
        yield Mistake(f"{where}.default", _got(question, "default"), expected, "correct it")
        return
    if kind not in _CHOOSING:
        return
    choices = question.get("choices")
    choices = choices.splitlines() if isinstance(choices, str) else choices
    of_tiers = question.get("variable") == TIERS
    if not isinstance(choices, list) or (not choices and not of_tiers):
        yield Mistake(f"{where}.choices", _got(question, "choices"), "a list of texts", "name what can be chosen")
        return
    for choice in choices:
        if of_tiers and choice not in tiers:
            remedy = "correct it, or leave choices empty: they are then the site's tiers"
            yield Mistake(f"{where}.choices", printable(choice), f"a tier of the site ({', '.join(tiers)})", remedy)
    known = choices or list(tiers)
    for answer in default.splitlines() if default else ():
        if answer not in known:
            yield Mistake(
                f"{where}.default", printable(answer), f"one of {', '.join(map(printable, known))}", "correct it"
            )


def _got(found: Mapping[str, Any], name: str) -> str:
    return printable(repr(found[name])) if name in found else "nothing"
