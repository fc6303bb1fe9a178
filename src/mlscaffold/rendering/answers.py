"""The answers to the questions: given, suggested or asked for, and checked."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from ..errors import AnswerError, shown
from .questions import Answers, Question, Value

# Gets the question, its default and the check of an answer's text; returns the checked answer.
Ask = Callable[[Question, Value, Callable[[str], Value]], Value]
# Gets a question's name, a value and the answers before; returns why it is refused, or nothing.
Complaint = Callable[[str, Value, Answers], str]


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


def text_of(value: Value) -> str:
    """Return the text that a question parses as this value."""
    return str(value).lower() if isinstance(value, bool) else str(value)
