"""What the questions are answered with: given, suggested, asked for, checked."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from ..errors import AnswerError, shown
from . import names
from .questions import Question, Value

# Gets the question, its default and the check of an answer's text; returns the checked answer.
Ask = Callable[[Question, Value, Callable[[str], Value]], Value]


def parse_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """The KEY=VALUE pairs by key; raises AnswerError at one without a key or a '='."""
    parsed: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not (separator and key):
            raise AnswerError(f"an answer must be KEY=VALUE, got {shown(pair)}")
        parsed[key] = value
    return parsed


def refuse_unknown(given: Collection[str], questions: Sequence[Question]) -> None:
    """Raises AnswerError when a key answers no question."""
    known = [question.name for question in questions]
    for key in given:
        if key not in known:
            raise AnswerError(f"{shown(key)} is no question; there are {', '.join(known)}")


def resolve(
    questions: Sequence[Question],
    *,
    given: Mapping[str, str],
    suggested: Mapping[str, str],
    reserved: Collection[str],
    ask: Ask | None = None,
) -> dict[str, Value]:
    """An answer for each question that applies: the one given, else asked for, else a default.

    A suggestion replaces the template's default. Without `ask` nobody is asked.
    Raises AnswerError at the first invalid value.
    """
    refuse_unknown(given, questions)
    answers: dict[str, Value] = {}
    for question in questions:
        if not question.applies(answers):
            continue

        def check(text: str, question: Question = question) -> Value:
            return checked(question, text, reserved=reserved)

        if question.name in given:
            answers[question.name] = check(given[question.name])
            continue
        default = suggested.get(question.name) or question.default_after(answers)
        answers[question.name] = ask(question, default, check) if ask else check(text_of(default))
    return answers


def checked(question: Question, text: str, *, reserved: Collection[str]) -> Value:
    """The value that `text` stands for; raises AnswerError when it is invalid."""
    value = question.parse(text)
    expected = names.complaint(question.name, text, reserved=reserved)
    if expected:
        raise AnswerError(f"{question.name} must be {expected}; got {shown(text)}")
    return value


def text_of(value: Value) -> str:
    """The text that a question would read as this value."""
    return str(value).lower() if isinstance(value, bool) else str(value)
