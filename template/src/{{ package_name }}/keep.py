"""Keep the values of an experiment: write them into configs/, from which params.yaml is composed.

`python -m <package>.keep NAME` takes the values and the results of a DVC experiment; without a
name, the current values of params.yaml. Comments and formatting of configs/ are preserved.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from .artifacts import CONFIGS, PARAMS, require
from .compose import compose, one_line_errors, read_params, write_params
from .errors import ProjectError
from .rules import differences, flat

Key = tuple[str, ...]
"""The path to a nested value: ("optimizer", "learning_rate")."""


def main() -> None:
    """Write the values, then check out the results of the experiment."""
    parser = argparse.ArgumentParser(description="Write an experiment's values into configs/.")
    parser.add_argument("experiment", nargs="?", help="name of a DVC experiment")
    experiment = parser.parse_args().experiment
    with one_line_errors():
        if experiment:
            restore(experiment, "params.yaml", "dvc.lock")
        for line in keep():
            print(line, flush=True)
    if experiment:
        sys.exit(subprocess.call(["dvc", "checkout"]))


def restore(experiment: str, *files: str) -> None:
    """Restore files from a DVC experiment."""
    find = ["git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{experiment}"]
    refs = subprocess.run(find, capture_output=True, text=True, check=True).stdout.split()
    if not refs:
        message = f"there is no experiment {experiment!r}; `dvc exp list --all` lists them"
        raise ProjectError(message)
    subprocess.run(["git", "restore", f"--source={refs[0]}", "--", *files], check=True)


def keep() -> list[str]:
    """Write the values of params.yaml that differ into configs/; return a line for each.

    Raises:
        ProjectError: configs/ cannot compose these values; it is left unchanged.
    """
    require(PARAMS, stage="params")
    wanted = read_params()
    settings, choices = compose()
    before: dict[Path, str] = {}
    lines = []
    try:
        for key in changes(settings, wanted):
            path, inner = place(key, choices)
            text = path.read_text(encoding="utf-8")
            before.setdefault(path, text)
            value = in_one_line(at(wanted, key))
            path.write_text(with_value(text, inner, value), encoding="utf-8")
            lines.append(f"{path}: {'.'.join(inner)}: {value}")
        settings, _ = compose()
        if left := differences(flat(wanted), flat(settings)):
            raise ProjectError(f"configs/ cannot be given params.yaml's {', '.join(left)}")
    except BaseException:
        for path, text in before.items():
            path.write_text(text, encoding="utf-8")
        raise
    write_params(settings)
    return lines


def changes(old: Any, new: Any, key: Key = ()) -> Iterator[Key]:
    """Yield the key of each value that differs."""
    for name, value in new.items():
        before = old.get(name)
        if isinstance(before, dict) and before and isinstance(value, dict):
            yield from changes(before, value, (*key, name))
        elif name not in old or value != before:
            yield (*key, name)


def place(key: Key, choices: Mapping[str, str | None]) -> tuple[Path, Key]:
    """Return the file of configs/ that sets a value, and the value's key in that file."""
    section, *rest = key
    places = [(CONFIGS / "config.yaml", key)]
    if experiment := choices.get("experiment"):
        places.insert(0, (CONFIGS / "experiment" / f"{experiment}.yaml", key))
    if rest and (choice := choices.get(section)):
        places.append((CONFIGS / section / f"{choice}.yaml", tuple(rest)))
    # Earlier places override later ones.
    return next((found for found in places if is_set(*found)), places[-1])


def is_set(path: Path, key: Key) -> bool:
    """Return whether a YAML file has a value of this key."""
    with suppress(KeyError, TypeError):
        at(yaml.safe_load(path.read_text(encoding="utf-8")), key)
        return True
    return False


def at(values: Any, key: Key) -> Any:
    """Return the value of a key in nested mappings."""
    for name in key:
        values = values[name]
    return values


def in_one_line(value: Any) -> str:
    """Return a value as YAML."""
    text = OmegaConf.to_yaml(OmegaConf.create([value])).removeprefix("- ").rstrip("\n")
    is_long = isinstance(value, dict | list) or "\n" in text
    return json.dumps(value, ensure_ascii=False) if is_long else text


def with_value(text: str, key: Key, value: str) -> str:
    """Return the YAML text with the key set to a one-line value and the rest unchanged."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for depth, name in enumerate(key):
        children = {one.value: child for one, child in node.value} if node else {}
        if name not in children:
            return _inserted(text, node, key[depth:], value)
        node = children[name]
    start, end = node.start_mark.index, _end(node)
    space = " " if text[start - 1] == ":" else ""
    return f"{text[:start]}{space}{value}{text[end:]}"


def _inserted(text: str, mapping: Any, key: Key, value: str) -> str:
    """Return the text with the key added to the mapping, or to a file without one."""
    name, *inner = key
    for parent in reversed(inner):
        value = f"{{{parent}: {value}}}"
    if mapping is None:
        return f"{text.rstrip()}\n{name}: {value}\n".lstrip()
    if mapping.flow_style:
        end = mapping.end_mark.index - 1
        return f"{text[:end]}{', ' if mapping.value else ''}{name}: {value}{text[end:]}"
    end = _end(mapping)
    line_end = text.find("\n", end) if "\n" in text[end:] else len(text)
    indent = " " * mapping.start_mark.column
    return f"{text[:line_end]}\n{indent}{name}: {value}{text[line_end:]}"


def _end(node: yaml.Node) -> int:
    """Return where a node ends, without the comments that follow a block."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return node.end_mark.index


if __name__ == "__main__":
    main()
