"""Find the function or class that a setting names by its file in this package."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Self, TypeVar

from .rules import Checked, ConfigError, check, typed

T = TypeVar("T")


@dataclass(frozen=True)
class Fitted(Checked):
    """Base of a frozen dataclass that is fitted to training data and kept as JSON in a bundle."""

    def __post_init__(self) -> None:
        check(self, self.section, largest=sys.float_info.max)

    @property
    def name(self) -> str:
        """Name of the file that defines the class."""
        return type(self).__module__.rpartition(".")[2]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, under the name of the file."""
        return {"name": self.name, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the object from the values that `to_dict` returned.

        Raises:
            ConfigError: The values do not describe this class.
        """
        fields = {name: value for name, value in values.items() if name != "name"}
        return typed(cls.section, cls, fields)


def find_function(function: str, *, folder: str, name: str, setting: str) -> Callable[..., Any]:
    """Return the function `function` of the file `<folder>/<name>.py`.

    Raises:
        ConfigError: There is no such file, or no such function in it.
    """
    module = _module(folder, name)
    if module is None or not callable(found := getattr(module, function, None)):
        raise _error(f"a function {function}()", folder=folder, name=name, setting=setting)
    return found


def find_optional(function: str, *, folder: str, name: str) -> Callable[..., Any] | None:
    """Return the function of a file that only some projects have, or `None`."""
    if not find_spec(f"{__package__}.{folder}") or not _module(folder, name):
        return None
    return find_function(function, folder=folder, name=name, setting=folder)


def find_class(base: type[T], *, folder: str, name: str, setting: str) -> type[T]:
    """Return the subclass of `base` that the file `<folder>/<name>.py` defines.

    Raises:
        ConfigError: There is no such file, or no such class in it.
    """
    module = _module(folder, name)
    if module and (found := _class_in(module, base)):
        return found
    raise _error(f"a subclass of {base.__name__}", folder=folder, name=name, setting=setting)


def find_classes(base: type[T], *, folder: str) -> list[type[T]]:
    """Return the subclasses of `base` that the files of a folder define."""
    package = import_module(f"{__package__}.{folder}")
    names = [found.name for found in iter_modules(package.__path__, f"{package.__name__}.")]
    return [found for name in names if (found := _class_in(import_module(name), base))]


def _class_in(module: ModuleType, base: type[T]) -> type[T] | None:
    """Return the subclass of `base` that a module defines; one that it only imports is none."""
    for value in vars(module).values():
        is_class = isinstance(value, type) and issubclass(value, base) and value is not base
        if is_class and value.__module__ == module.__name__:
            return value
    return None


def _module(folder: str, name: str) -> ModuleType | None:
    module_name = f"{__package__}.{folder.replace('/', '.')}.{name}"
    return import_module(module_name) if name.isidentifier() and find_spec(module_name) else None


def _error(what: str, *, folder: str, name: str, setting: str) -> ConfigError:
    there = (Path(__file__).parent / folder).glob("[!_]*")
    near = get_close_matches(name, sorted(path.stem for path in there), n=1)
    hint = f"; did you mean {near[0]}?" if near and near[0] != name else ""
    return ConfigError(f"{setting} must be a file in {folder}/ with {what}, got {name!r}{hint}")
