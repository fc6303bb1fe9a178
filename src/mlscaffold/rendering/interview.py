"""The answers to a template's questions, found as copier finds them: every step is copier's own.

This runs in the process of sandbox_worker.py, since questions hold expressions.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

import yaml

from ..errors import AnswerError, StaleAnswerError, shown
from . import engine
from .releases import Releases

_BOOLEANS = {"y", "yes", "t", "true", "on", "1", "n", "no", "f", "false", "off", "0"}
"""The texts that copier reads as a boolean; it takes any other for true."""


def interview(
    releases: Releases,
    *,
    ref: str,
    given: Mapping[str, str],
    recorded: str,
    suggested: Mapping[str, str],
    asks: bool,
    until: str,
    project: str,
) -> dict[str, Any]:
    """Answer each question: as given, else as recorded, else as suggested or by default.

    `given` and `suggested` are texts, as after `copier copy --data`; `recorded` is an answers file.
    The interview ends after the question `until`, and with `asks` at one for the user: that is
    `asked` in the result. Otherwise `answers` is what the answers file will hold, `data` makes
    copier find the same answers again, and `unanswered` lists those that are defaults.

    Raises AnswerError at an answer that is invalid or missing, StaleAnswerError if it is recorded.
    """
    with engine.open_worker(releases, ref=ref, project=project) as worker:
        engine.require_safe(worker)
        known = worker.template.questions_data
        _require_known(given, known)
        worker.answers.init.update(given)
        worker.answers.last.update(yaml.safe_load(recorded) or {})
        worker.answers.user_defaults.update({k: v for k, v in suggested.items() if k in known})
        worker.answers.metadata.update(worker.template.metadata)
        worker.answers.external = worker._external_data()
        return _interview(worker, asks=asks, until=until)


def complaint(releases: Releases, *, ref: str, name: str, text: str) -> str:
    """Return why a question refuses a text as its answer; empty if it does not, or is not there."""
    with engine.open_worker(releases, ref=ref) as worker:
        engine.require_safe(worker)
        if name not in worker.template.questions_data:
            return ""
        try:
            _checked(engine.question(worker, name), text)
        except AnswerError as error:
            return str(error)
    return ""


def questions(releases: Releases, *, ref: str) -> dict[str, Any]:
    """Return the questions of a release as copier.yml holds them."""
    with engine.open_worker(releases, ref=ref) as worker:
        return worker.template.questions_data


def _require_known(given: Collection[str], known: Mapping[str, Any]) -> None:
    listed = ", ".join(name for name in known if known[name].get("when") is not False)
    for name in given:
        if name not in known:
            raise AnswerError(f"{shown(name)} is no question; there are {listed or 'none'}")


def _interview(worker: "engine.Worker", *, asks: bool, until: str) -> dict[str, Any]:
    answers, data = worker.answers, {}
    unanswered = set()
    for name in worker.template.questions_data:
        question = engine.question(worker, name)
        applies = question.get_when()
        if not applies:
            # A release that asked it may have recorded it.
            answers.hide(name)
            answers.last.pop(name, None)
            answers.user_defaults.pop(name, None)
        if not _is_recorded(question):
            answers.last.pop(name, None)
        if name in answers.init:
            value = _checked(question, _in_its_case(question, answers.init[name]))
        elif name in answers.last:
            value = _as_recorded(question)
        elif asks and applies and question.get_ask():
            return {"asked": _described(question)}
        else:
            value = _default(question, is_required=applies and question.get_ask())
            unanswered.add(name)
        if not engine.is_missing(value):
            answers.user[name] = value
            if name not in unanswered or name in answers.user_defaults:
                data[name] = _encoded(question, value)
        if name == until:
            break
    # Expressions in these files' names may need the answers.
    answers.external = worker._external_data()
    remembered = worker._answers_to_remember()
    kept = {name: value for name, value in remembered.items() if not name.startswith("_")}
    return {"answers": kept, "data": data, "unanswered": [k for k in kept if k in unanswered]}


def _is_recorded(question: "engine.Question") -> bool:
    value = question.answers.last.get(question.var_name)
    return value is not None or (
        question.var_name in question.answers.last and question.get_type_name() in ("json", "yaml")
    )


def _as_recorded(question: "engine.Question") -> Any:
    """Return the recorded answer, which is a value already; raise StaleAnswerError if invalid."""
    name, value = question.var_name, question.answers.last[question.var_name]
    is_plain = question.get_type_name() not in ("json", "yaml") and not question.multiselect
    if is_plain and isinstance(value, list | dict):
        raise StaleAnswerError(name, f"{name} must be one value, it is a {type(value).__name__}")
    try:
        return _checked(question, _encoded(question, value), original=value)
    except AnswerError as error:
        raise StaleAnswerError(name, str(error)) from error


def _default(question: "engine.Question", *, is_required: bool) -> Any:
    """Return the question's default; copier does not validate that of a hidden or secret one."""
    required = AnswerError(f"{question.var_name} must be answered: -d {question.var_name}=...")
    try:
        value = question.get_default()
    except (TypeError, ValueError):
        suggested = question.answers.user_defaults.get(question.var_name)
        value = suggested or question.render_value(question.default)
        if value is None:
            raise required from None
        _checked(question, value)
        raise
    if engine.is_missing(value) and is_required:
        raise required
    return value


def _checked(question: "engine.Question", value: Any, *, original: Any = None) -> Any:
    """Return the answer that a value stands for; raise AnswerError if it is invalid.

    A message shows `original`, or the value itself.
    """
    name, original = question.var_name, value if original is None else original
    try:
        _require_type(question, value)
    except (TypeError, ValueError, yaml.YAMLError) as error:
        kind = question.get_type_name()
        expected = f"a list of {kind} values" if question.multiselect else kind
        raise AnswerError(f"{name} must be {expected}{_got(question, original, ',')}") from error
    answer = _chosen(question, value, original)
    try:
        question.validate_answer(answer)
    except ValueError as error:
        reason = str(error).removeprefix(f"Validation error for question '{name}': ")
        raise AnswerError(f"{name}: {_line(reason)}{_got(question, original)}") from error
    return answer


def _chosen(question: "engine.Question", value: Any, original: Any) -> Any:
    """Return the answer of the right type; raise AnswerError if it is none of the choices."""
    name, choices = question.var_name, question._formatted_choices
    try:
        return question.parse_answer(value)
    except ValueError as error:
        reason = str(error).removeprefix(f"Invalid choice for '{name}': ")
        if any(reason == choice.disabled for choice in choices):
            raise AnswerError(f"{name}: {_line(reason)}{_got(question, original)}") from error
        values = [question.cast_answer(one.value) for one in choices if not one.disabled]
        expected = f"{name} must be one of {', '.join(map(str, values))}"
        if not question.multiselect:
            original = question.cast_answer(value)
        raise AnswerError(f"{expected}{_got(question, original)}") from error


def _got(question: "engine.Question", value: Any, separator: str = ";") -> str:
    """Return the end of a message that shows the value, unless it is secret."""
    return "" if question.secret else f"{separator} got {shown(value)}"


def _require_type(question: "engine.Question", value: Any) -> None:
    """Raise TypeError or ValueError if the value can't be one of the question's type."""
    values = [value]
    if question.multiselect:
        values = yaml.safe_load(value) if isinstance(value, str) else value
        if not isinstance(values, list):
            raise TypeError
    for one in values:
        is_text = isinstance(one, str) and question.get_type_name() == "bool"
        if is_text and one.strip().lower() not in _BOOLEANS:
            raise ValueError
        question.cast_answer(one)


def _in_its_case(question: "engine.Question", text: str) -> str:
    """Return the choice that differs from the text in case alone, or else the text."""
    if question.multiselect:
        return text
    values = [str(choice.value) for choice in question._formatted_choices]
    similar = [one for one in values if one.casefold() == text.casefold()]
    return similar[0] if text not in values and len(similar) == 1 else text


def _encoded(question: "engine.Question", value: Any) -> Any:
    """Return what the question parses as this value."""
    kind = question.get_type_name()

    def encoded(one: Any) -> Any:
        if kind == "json":
            return json.dumps(one, default=str)
        return _yaml(one) if kind == "yaml" else one

    if question.multiselect and isinstance(value, list):
        return [encoded(one) for one in value]
    return encoded(value)


def _described(question: "engine.Question") -> dict[str, Any]:
    """Return what the user has to see of the question."""
    try:
        value = _default(question, is_required=True)
    except AnswerError:
        default = None
    else:
        is_list = question.multiselect and isinstance(value, list)
        default = _yaml(value) if is_list else _encoded(question, value)
    choices = [
        {"value": question.cast_answer(one.value), "help": _line(str(one.title))}
        for one in question._formatted_choices
        if not one.disabled
    ]
    return {
        "name": question.var_name,
        "help": str(question.render_value(question.help)).strip(),
        "type": question.get_type_name(),
        "choices": [
            one if str(one["value"]) != one["help"] else one | {"help": ""} for one in choices
        ],
        "default": default,
        "is_secret": question.secret,
        "is_multiple": question.multiselect,
    }


def _yaml(value: Any) -> str:
    """Return a value as YAML on one line."""
    dumped = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=2**31)
    return dumped.removesuffix("...\n").removesuffix("\n")


def _line(text: str) -> str:
    return " ".join(text.split())
