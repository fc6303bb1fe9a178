"""JSON schemas of the files in configs/, by which an editor completes and checks them.

`python -m <package>.schemas` writes them into .schemas/, from the types of the settings.
"""

import argparse
import ast
import inspect
import json
import re
from dataclasses import fields, is_dataclass
from enum import StrEnum
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from .artifacts import CONFIGS, new_file
from .compose import one_line_errors
from .config import Config
from .data.encoder import Encoder
from .lookup import find_classes
from .models.base import Model
from .objectives.base import Objective
from .rules import NAMED, Checked, ConfigError

FOLDER = Path(".schemas")
EDITOR = Path(".vscode/settings.json")
BASES = {"encoder": Encoder, "model": Model, "objective": Objective}
"""The base of the classes that a group with a name chooses from."""
TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
BOUNDS = {
    "minimum": r"(?:>= |in \[)([\d.]+)(?:,.*)?",
    "exclusiveMinimum": r"(?:> |in \()([\d.]+)(?:,.*)?",
    "maximum": r"in .*, ([\d.]+)\]",
    "exclusiveMaximum": r"in .*, ([\d.]+)\)",
}
"""How a rule states a limit, as `>= 1` or `in [0, 1)`."""
INTERPOLATION = {"type": "string", "pattern": r"^(\$\{.*\}|\?\?\?)$"}

Schema = dict[str, Any]


def schemas() -> dict[str, Schema]:
    """Return the schemas of the files in configs/, by a glob of their paths without `.yaml`.

    Raises:
        ConfigError: There is no configs/ here.
    """
    if not CONFIGS.is_dir():
        raise ConfigError(f"there is no {CONFIGS}/ here; run this in the project's root")
    for path in sorted(Path(__file__).parent.glob("*/config.py")):
        import_module(f".{path.parent.name}.config", __package__)
    found: dict[str, Any] = {"config": Config, "experiment/*": Config}
    for kind in Config.__subclasses__():  # those of x.yaml are XConfig
        found[kind.__name__.removesuffix("Config").lower()] = kind
    settings = {name: one for kind in found.values() for name, one in _settings(kind).items()}
    found |= {f"{name}/*": one for name, one in settings.items() if (CONFIGS / name).is_dir()}
    return {glob: _schema(kind, glob.removesuffix("/*")) for glob, kind in found.items()}


def _settings(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def _sections() -> dict[str, Any]:
    """Return the classes that check sections of the settings, some of which hold any values."""
    return {kind.section: kind for kind in Checked.__subclasses__() if kind.section}


def _schema(kind: Any, name: str = "") -> Schema:
    """Return the schema of values of a type; `name` is that of the setting."""
    origin, of = get_origin(kind), get_args(kind)
    schema: Schema = {"type": TYPES[kind]} if kind in TYPES else {}
    if origin is Annotated and NAMED in of:
        found = find_classes(BASES[name], folder=BASES[name].__module__.split(".")[1])
        named = [one for one in found if hasattr(one, "settings")]
        schema = {"anyOf": [_of_class(one.settings, one.__module__) for one in named]}
    elif origin is Annotated:
        limits = {word: re.fullmatch(bound, of[1].expected) for word, bound in BOUNDS.items()}
        schema = _schema(of[0]) | {word: float(one[1]) for word, one in limits.items() if one}
    elif origin in (Union, UnionType):
        schema = {"anyOf": [_schema(one) for one in of]}
    elif origin is dict and name in (sections := _sections()):
        schema = _of_class(sections[name])
    elif origin is dict:
        schema = {"type": "object", "additionalProperties": _schema(of[1])}
    elif origin is list:
        schema = {"type": "array", "items": _schema(of[0])}
    elif is_dataclass(kind):
        schema = _of_class(kind)
    elif isinstance(kind, type) and issubclass(kind, StrEnum):
        schema = {"enum": list(kind)}
    return schema


def _of_class(kind: Any, module: str = "") -> Schema:
    """Return the schema of a class's settings; those of a module have its name."""
    texts = _texts(kind)
    properties: Schema = {"defaults": {"type": "array"}, "hydra": {"type": "object"}}
    properties |= {
        name: {"anyOf": [_schema(one, name), INTERPOLATION], "description": texts.get(name, "")}
        for name, one in _settings(kind).items()
    }
    if module:
        properties["name"] = {"const": module.rpartition(".")[2]}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _texts(kind: Any) -> dict[str, str]:
    """Return the strings below the fields of a dataclass and of its bases."""
    found = {}
    for one in reversed(kind.__mro__[:-1]):
        definition: Any = ast.parse(inspect.getsource(one)).body[0]
        for field, text in pairwise(definition.body):
            match field, text:
                case ast.AnnAssign(ast.Name(name)), ast.Expr(ast.Constant(str(value))):
                    found[name] = " ".join(value.split())
    return found


def main() -> None:
    """Write the schemas, and settings of VS Code that name them, unless there are settings."""
    argparse.ArgumentParser(description="Write schemas of configs/ into .schemas/.").parse_args()
    with one_line_errors():
        files = {}
        for glob, schema in schemas().items():
            path = FOLDER / f"{glob.removesuffix('/*')}.json"
            files[str(path)] = f"configs/{glob}.yaml"
            with new_file(path) as new:
                new.write_text(json.dumps(schema, indent=1), encoding="utf-8")
        settings = json.dumps({"yaml.schemas": files}, indent=2)
        if not EDITOR.exists():
            with new_file(EDITOR) as new:
                new.write_text(f"{settings}\n", encoding="utf-8")
        elif FOLDER.name not in EDITOR.read_text(encoding="utf-8"):
            print(f"{EDITOR} is unchanged; add to it:\n{settings}")


if __name__ == "__main__":
    main()
