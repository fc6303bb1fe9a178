"""Run a template's validators in copier.yml, before copier renders."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .questions import Answers, Value

if TYPE_CHECKING:
    from jinja2 import Environment


class Validators:
    """The validators of one release's questions.

    One that can't be evaluated here, because it needs an extension or a variable that only copier
    has, is left to copier, which applies all of them when it renders.

    Args:
        entries: What copier.yml holds.
        read: Returns the text of a file of the template, which a validator may include.
    """

    def __init__(self, entries: Mapping[str, Any], read: Callable[[str], str]) -> None:
        self._settings = entries.get("_envops") or {}
        self._read = read
        self._texts = {
            name: str(entry["validator"])
            for name, entry in entries.items()
            if isinstance(entry, dict) and entry.get("validator")
        }

    def complaint(self, question: str, value: Value, answers: Answers) -> str:
        """Return why the value is refused, on one line; empty if it is accepted.

        Args:
            question: The question's name.
            value: The answer to be checked.
            answers: Those to the questions before it.
        """
        if question not in self._texts:
            return ""
        try:
            template = self._environment.from_string(self._texts[question])
            return " ".join(template.render({**answers, question: value}).split())
        except Exception:  # An expression can raise anything.
            return ""

    @cached_property
    def _environment(self) -> "Environment":
        from jinja2 import FunctionLoader
        from jinja2.sandbox import SandboxedEnvironment
        from jinja2_ansible_filters import AnsibleCoreFiltersExtension

        return SandboxedEnvironment(
            loader=FunctionLoader(self._read),
            extensions=[AnsibleCoreFiltersExtension],
            **self._settings,
        )
