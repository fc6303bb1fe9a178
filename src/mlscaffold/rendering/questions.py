"""The questions of a template; those of the bundled one are evaluated here, without copier."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from ..errors import AnswerError, TemplateError, shown

Value = str | bool | int | float
Answers = Mapping[str, Value]

# Libyaml's, where PyYAML was built with it: thirty times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TYPES = {
    "bool": bool,
    "int": int,
    "float": int | float,
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A value that a question accepts, and its meaning."""

    value: Value
    help: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of a template: its meaning, the values it accepts and its default."""

    name: str
    help: str = ""
    type: str = "str"
    choices: tuple[Choice, ...] = ()
    default: Value | None = ""
    when: str | bool = True
    is_secret: bool = False
    """Whether the answer is recorded nowhere, and not shown."""
    is_multiple: bool = False
    """Whether several choices can be made at once."""

    @property
    def values(self) -> tuple[Value, ...]:
        """The values to choose from; empty if any value of the type is accepted."""
        return tuple(choice.value for choice in self.choices)

    def applies(self, answers: Answers) -> bool:
        """Return whether the question is asked, given the answers before it."""
        if isinstance(self.when, bool):
            return self.when
        return _evaluate(self.when, answers).strip().lower() in {"true", "yes", "on", "1"}

    def default_after(self, answers: Answers) -> Value | None:
        """Return the default, which may depend on the answers before it."""
        if isinstance(self.default, str):
            return self.parse(_evaluate(self.default, answers))
        return self.default

    def parse(self, text: str) -> Value:
        """Return the value that `text` stands for; a choice may be in any case.

        Raises:
            AnswerError: It is not a value of this type, or none of the choices.
        """
        value = self._typed(text)
        if self.choices and value not in self.values:
            folded = str(value).casefold()
            similar = [one for one in self.values if str(one).casefold() == folded]
            if len(similar) == 1:
                return similar[0]
            listed = ", ".join(map(str, self.values))
            raise AnswerError(f"{self.name} must be one of {listed}; got {shown(value)}")
        return value

    def _typed(self, text: str) -> Value:
        if self.type not in _TYPES:
            return text
        try:
            # No number is longer, and a short text is cheap to parse.
            value = yaml.safe_load(text) if len(text) <= 100 else None
        except (ValueError, yaml.YAMLError):
            value = None
        if not isinstance(value, _TYPES[self.type]):
            raise AnswerError(f"{self.name} must be {self.type}, got {shown(text)}")
        return value


def read_yaml(text: str | bytes) -> Any:
    """Parse a YAML text of plain values; raises yaml.YAMLError if it is invalid."""
    return yaml.load(text, _LOADER)


def read_questions(entries: Any) -> tuple[Question, ...]:
    """Return the questions of a parsed copier.yml in their order, without hidden ones."""
    if not isinstance(entries, dict):
        raise TemplateError("copier.yml must hold questions by name")
    asked = [_question(str(k), v) for k, v in entries.items() if not str(k).startswith("_")]
    return tuple(question for question in asked if question.when is not False)


def _question(name: str, entry: Any) -> Question:
    details = entry if isinstance(entry, dict) else {"default": entry}
    default = details.get("default", "")
    try:
        choices = _choices(details)
    except (IndexError, KeyError, TypeError) as error:
        raise TemplateError(f"copier.yml can't be read: the choices of {shown(name)}") from error
    return Question(
        name=name,
        help=str(details.get("help", "")).strip(),
        type=str(details.get("type", type(default).__name__)),
        choices=choices,
        default=default,
        when=details.get("when", True),
        is_secret=bool(details.get("secret")),
        is_multiple=bool(details.get("multiselect")),
    )


def _choices(details: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Return the choices; none if they are computed or several can be chosen at once."""
    choices = details.get("choices", ())
    if isinstance(choices, str) or details.get("multiselect"):
        return ()
    pairs = choices.items() if isinstance(choices, dict) else map(_labelled, choices)
    return tuple(
        Choice(value=value["value"] if isinstance(value, dict) else value, help=label)
        for label, value in pairs
    )


def _labelled(choice: Any) -> tuple[str, Any]:
    return (str(choice[0]), choice[1]) if isinstance(choice, list) else ("", choice)


def _evaluate(text: str, answers: Answers) -> str:
    from jinja2.sandbox import SandboxedEnvironment

    try:
        return SandboxedEnvironment().from_string(text).render(answers)
    except Exception as error:  # An expression can raise anything.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TemplateError(f"copier.yml holds an expression that fails: {reason}") from error
