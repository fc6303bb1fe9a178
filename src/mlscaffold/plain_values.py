"""The values of a command line, read without pydantic, whose import takes a third of a command.

Newer typer imports it to read any value. Texts and paths, and what is no text, need none of it; any
other value is left to typer. If typer's internals have other names, it reads all of them.
"""

from pathlib import Path
from typing import Any


def read_plainly(core: Any) -> None:
    """Make the parameters of `core`, which is typer's module of them, read texts by themselves."""
    parameter = getattr(core, "_TyperParameter", None)
    found = getattr(parameter, "get_runtime_param", None)
    if parameter and found:
        parameter.get_runtime_param = lambda parameter: _Plain(parameter, found)


class _Plain:
    """Stands in for what typer makes of a parameter's type."""

    def __init__(self, parameter: Any, found: Any) -> None:
        self._parameter = parameter
        self._found = found
        self._kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value of this type that was typed; raise typer's error if it is none."""
        is_multiple = getattr(param, "multiple", False) or param.nargs == -1
        if value is None:
            return () if is_multiple else None
        for kind in (str, Path):
            if self._kind is kind and not is_multiple:
                return kind(value)
            if self._kind == list[kind] and is_multiple and not isinstance(value, str):
                return [kind(one) for one in value]
        if isinstance(self._kind, type) and isinstance(value, self._kind) and not is_multiple:
            return value
        return self._found(self._parameter).coerce(value, param=param, ctx=ctx)
