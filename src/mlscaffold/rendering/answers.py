"""The answers to the questions: given, suggested or asked for, and checked."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from ..errors import AnswerError, StaleAnswerError, shown
from .questions import Answers, Choice, Question, Value
from .releases import Releases

# Gets the question, its default if it has one, and the check of an answer's text; returns the
# checked answer.
Ask = Callable[[Question, Value | None, Callable[[str], Value]], Value]
# Gets a question's name, a value and the answers before; returns why it is refused, or nothing.
Complaint = Callable[[str, Value, Answers], str]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The answers to the questions of a release."""

    answers: Mapping[str, Any]
    """What a project records: nothing that is secret, or that follows from other answers."""
    data: Mapping[str, Any]
    """What the renderer gets, which finds the rest."""
    unanswered: tuple[str, ...] = ()
    """The questions of `answers` that took their default."""

    @property
    def key(self) -> str:
        """The same text for the same answers."""
        return json.dumps(self.data, sort_keys=True, default=str)

    def written(self) -> bytes:
        """Return them as bytes; only plain values can be read again."""
        return json.dumps([self.answers, self.data, self.unanswered]).encode()

    @staticmethod
    def read(written: bytes) -> "Answered":
        """Return the answers from their bytes."""
        answers, data, unanswered = json.loads(written)
        return Answered(answers=answers, data=data, unanswered=tuple(unanswered))


def answer(
    releases: Releases,
    ref: str,
    *,
    given: Mapping[str, str] | None = None,
    recorded: Mapping[str, Any] | None = None,
    suggested: Mapping[str, str] | None = None,
    ask: Ask | None = None,
    project: Path,
) -> Answered:
    """Answer each question: as given, else as recorded or asked for, else by default.

    `project` is the folder that exists or will. A suggestion replaces the template's default.
    Without `ask`, the user is not asked. Raises AnswerError at the first invalid value,
    StaleAnswerError if a project records it.
    """
    given, recorded, suggested = given or {}, recorded or {}, suggested or {}
    if not releases.trusted:
        return _as_copier(releases, ref, given, recorded, suggested, ask, project)
    questions = releases.questions(ref)
    refuse_unknown(given, questions)
    complaint = partial(releases.complaint, ref)
    texts = _texts(questions, recorded, given, complaint)
    found = resolve(
        questions, given={**texts, **given}, suggested=suggested, complaint=complaint, ask=ask
    )
    unanswered = tuple(name for name in found if name not in texts and name not in given)
    return Answered(answers=found, data=found, unanswered=unanswered)


def _as_copier(
    releases: Releases,
    ref: str,
    given: Mapping[str, str],
    recorded: Mapping[str, Any],
    suggested: Mapping[str, str],
    ask: Ask | None,
    project: Path,
) -> Answered:
    """Answer the questions of another template, whose expressions run in the sandbox."""
    typed = dict(given)

    def interview(*, until: str = "", **more: str) -> Mapping[str, Any]:
        return releases.in_sandbox(
            "interview",
            ref=ref,
            given=typed | more,
            recorded=yaml.safe_dump(dict(recorded)),
            suggested=dict(suggested),
            asks=ask is not None,
            until=until,
            project=project.resolve(),
        )

    while ask and (asked := interview().get("asked")):
        question = _question(asked)

        def check(text: str, name: str = question.name) -> Value:
            interview(until=name, **{name: text})
            typed[name] = text
            return text

        ask(question, question.default, check)
    found = interview()
    return Answered(
        answers=found["answers"], data=found["data"], unanswered=tuple(found["unanswered"])
    )


def _question(asked: Mapping[str, Any]) -> Question:
    asked = dict(asked, choices=tuple(Choice(**choice) for choice in asked["choices"]))
    return Question(**asked)


def _texts(
    questions: Sequence[Question],
    recorded: Mapping[str, Any],
    given: Mapping[str, str],
    complaint: Complaint,
) -> dict[str, str]:
    """Return the recorded answers as text; raise StaleAnswerError at an invalid one."""
    texts: dict[str, str] = {}
    for question in questions:
        name, value = question.name, recorded.get(question.name)
        if value is None or name in given:
            continue
        if isinstance(value, list | dict):
            kind = type(value).__name__
            raise StaleAnswerError(name, f"{name} must be one value, it is a {kind}")
        texts[name] = text_of(value)
    for name in texts:
        try:
            question = next(one for one in questions if one.name == name)
            checked(question, texts[name], {**texts, **given}, complaint=complaint)
        except AnswerError as error:
            raise StaleAnswerError(name, str(error)) from error
    return texts


def parse_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """Parse KEY=VALUE pairs; raise AnswerError at one without a key or a '='."""
    parsed: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not (separator and key):
            raise AnswerError(f"an answer must be KEY=VALUE, got {shown(pair)}")
        parsed[key] = value
    return parsed


def refuse_unknown(given: Collection[str], questions: Sequence[Question]) -> None:
    """Raise AnswerError if a key answers no question."""
    known = [question.name for question in questions]
    for key in given:
        if key not in known:
            raise AnswerError(f"{shown(key)} is no question; there are {', '.join(known)}")


def resolve(
    questions: Sequence[Question],
    *,
    given: Mapping[str, str],
    suggested: Mapping[str, str],
    complaint: Complaint | None = None,
    ask: Ask | None = None,
) -> dict[str, Value]:
    """Answer each question that applies: as given, else as asked for, else by default.

    A suggestion replaces the template's default. Without `ask`, the user is not asked.
    Raises AnswerError at the first invalid value.
    """
    refuse_unknown(given, questions)
    answers: dict[str, Value] = {}
    for question in questions:
        if not question.applies(answers):
            continue

        def check(text: str, question: Question = question) -> Value:
            return checked(question, text, answers, complaint=complaint)

        if question.name in given:
            answers[question.name] = check(given[question.name])
            continue
        default = suggested.get(question.name) or question.default_after(answers)
        answers[question.name] = ask(question, default, check) if ask else check(text_of(default))
    return answers


def checked(
    question: Question, text: str, answers: Answers, *, complaint: Complaint | None = None
) -> Value:
    """Return the value that `text` stands for; raise AnswerError if it is invalid.

    If `complaint` is given, the template's own validator decides too.
    """
    value = question.parse(text)
    if complaint and (reason := complaint(question.name, value, answers)):
        raise AnswerError(f"{question.name}: {reason}; got {shown(text)}")
    return value


def text_of(value: Value | None) -> str:
    """Return the text that a question parses as this value."""
    return str(value).lower() if isinstance(value, bool) else str(value)
