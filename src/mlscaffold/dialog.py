"""Ask the user at a terminal: lines for texts, menus for choices, a summary before writing."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from .errors import AnswerError
from .rendering.answers import text_of
from .report import of_choice, of_summary
from .terminal import printable

if TYPE_CHECKING:
    from .new import NewProject
    from .rendering.questions import Question, Value

_NUMBER_KEYS = 9


class Dialog:
    """The questions of one command, with a heading for each group."""

    def __init__(self) -> None:
        self._heading = ""

    @property
    def has_asked(self) -> bool:
        """Whether any question was asked."""
        return bool(self._heading)

    def ask(
        self, question: "Question", default: "Value | None", check: "Callable[[str], Value]"
    ) -> "Value":
        """Return the answer to one question, which is asked again until `check` accepts it."""
        read = _line
        if question.choices:
            is_menu = _has_arrow_keys() and not question.is_multiple
            read = _menu if is_menu else _numbered
        self._introduce(_HEADINGS[read])
        while True:
            try:
                return check(read(question, None if default is None else text_of(default)))
            except AnswerError as error:
                print(error, file=sys.stderr)

    def approves(self, project: "NewProject") -> bool:
        """Show a summary of the project; return whether the user wants it written."""
        print(f"\n{of_summary(project)}")
        return typer.confirm("Write it?", default=True)

    def _introduce(self, heading: str) -> None:
        if heading != self._heading:
            print(f"\n{heading}")
            self._heading = heading


def _line(question: "Question", default: str | None) -> str:
    label = question.help or question.name
    if question.is_multiple:
        label += ", as a list in YAML"
    if question.is_secret:
        return typer.prompt(label, default=default, hide_input=True, show_default=False)
    return typer.prompt(label, default=default)


def _numbered(question: "Question", default: str | None) -> str:
    """Return the choice that was typed, by name or else by number."""
    print(*(f"  {n}) {of_choice(one)}" for n, one in enumerate(question.choices, 1)), sep="\n")
    text = _line(question, default)
    names = [text_of(value) for value in question.values]
    is_number = text not in names and text.isdecimal() and 0 < int(text[:9]) <= len(names)
    return names[int(text) - 1] if is_number else text


def _menu(question: "Question", default: str | None) -> str:
    import questionary

    # Without a request for the cursor's position, which not every terminal answers.
    os.environ["PROMPT_TOOLKIT_NO_CPR"] = "1"
    choices = [
        questionary.Choice(of_choice(one), text_of(one.value), shortcut_key=str(number))
        for number, one in enumerate(question.choices, 1)
    ]
    label = question.help or question.name
    text = questionary.select(
        printable(label),
        choices,
        default=default if default in map(text_of, question.values) else None,
        qmark="",
        pointer=">",
        instruction=" ",
        use_shortcuts=len(choices) <= _NUMBER_KEYS,
        use_jk_keys=False,
        erase_when_done=True,
    ).unsafe_ask()
    # Replaces the menu, without its explanations.
    print(f"{label}: {text}")
    return text


def _has_arrow_keys() -> bool:
    return os.environ.get("TERM", "") not in ("", "dumb", "unknown")


_HEADINGS: dict[Callable[["Question", str | None], str], str] = {
    _line: "Details: Enter keeps what stands in brackets.",
    _menu: "Choices: arrow keys or a number, then Enter.",
    _numbered: "Choices: type a number or a name.",
}
