"""The questions of a template, read from its copier.yml without copier."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from .errors import AnswerError, TemplateError

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
    """One of the values that a question accepts, and what it means."""

    value: Value
    help: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question: what it means, what it accepts, and what holds when nobody answers."""

    name: str
    help: str = ""
    type: str = "str"
    choices: tuple[Choice, ...] = ()
    default: Value = ""
    when: str | bool = True

    @property
    def values(self) -> tuple[Value, ...]:
        """The values to choose from; empty where any of the type will do."""
        return tuple(choice.value for choice in self.choices)

    def applies(self, answers: Answers) -> bool:
        """Whether the question is asked at all, after these answers."""
        if isinstance(self.when, bool):
            return self.when
        return _render(self.when, answers).strip().lower() in {"true", "yes", "on", "1"}

    def default_after(self, answers: Answers) -> Value:
        """The default, which may depend on the answers before it."""
        if isinstance(self.default, str):
            return self.parse(_render(self.default, answers))
        return self.default

    def parse(self, text: str) -> Value:
        """The value that `text` stands for; raises AnswerError when it is none of this type."""
        value = self._typed(text)
        if self.choices and value not in self.values:
            listed = ", ".join(map(str, self.values))
            raise AnswerError(f"{self.name} must be one of {listed}; got {shown(value)}")
        return value

    def _typed(self, text: str) -> Value:
        if self.type not in _TYPES:
            return text
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = None
        if not isinstance(value, _TYPES[self.type]):
            raise AnswerError(f"{self.name} must be {self.type}, got {shown(text)}")
        return value


def shown(value: Value) -> str:
    """The value as it stands in a message: quoted, on one line, cut when it is long."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:56]}...{text[-1]}"


def read_yaml(text: str | bytes) -> Any:
    """What a YAML text holds, plain values only; raises yaml.YAMLError where it is none."""
    return yaml.load(text, _LOADER)


def read_questions(copier_yml: str) -> tuple[Question, ...]:
    """The questions in the text of a copier.yml, in their order, without the hidden ones."""
    try:
        entries = read_yaml(copier_yml)
    except yaml.YAMLError as error:
        raise TemplateError(f"copier.yml can't be read: {error}".replace("\n", " ")) from error
    if not isinstance(entries, dict):
        raise TemplateError("copier.yml must hold questions by name")
    asked = (_question(k, v) for k, v in entries.items() if not str(k).startswith("_"))
    return tuple(question for question in asked if question.when is not False)


def _question(name: str, entry: Any) -> Question:
    details = entry if isinstance(entry, dict) else {"default": entry}
    default = details.get("default", "")
    return Question(
        name=name,
        help=str(details.get("help", "")).strip(),
        type=details.get("type", type(default).__name__),
        choices=_choices(details),
        default=default,
        when=details.get("when", True),
    )


def _choices(details: Mapping[str, Any]) -> tuple[Choice, ...]:
    """What to choose from; empty where only copier can tell (computed, several at once)."""
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


def _render(text: str, answers: Answers) -> str:
    from jinja2 import TemplateError as JinjaError
    from jinja2.sandbox import SandboxedEnvironment

    try:
        return SandboxedEnvironment().from_string(text).render(**answers)
    except JinjaError as error:
        raise TemplateError(f"copier.yml holds an expression that fails: {error}") from error
