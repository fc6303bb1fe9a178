"""Copier without the libraries of its dialogs, which take a third of its import: it asks nothing.

It gets stand-ins for what it imports of them. `Choice` holds what answers are compared with;
anything else that is used imports its library after all.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_LIBRARIES = (
    "prompt_toolkit.lexers",
    "pygments.lexers.data",
    "questionary",
    "questionary.prompts.common",
)


@contextmanager
def replaced_by_stand_ins() -> Generator[None]:
    """Let stand-ins be imported for the libraries while the block runs."""
    stand_ins = {name: _Library(name) for name in _LIBRARIES if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


class _Library(ModuleType):
    """Has a class by any name, which makes what the library's own would make."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "Choice":
            return Choice
        library = self.__name__

        def made(_: type, *arguments: Any, **options: Any) -> Any:
            return getattr(import_module(library), name)(*arguments, **options)

        return type(name, (), {"__new__": made})


class Choice:
    """A choice, as questionary has it, without the keys that select it."""

    def __init__(self, title: str, value: Any = None, disabled: str | None = None) -> None:
        self.title = title
        self.value = title if value is None else value
        self.disabled = disabled
