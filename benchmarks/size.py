"""Print how many files and lines a project has, by preset or modality, and by folder.

    .venv/bin/python benchmarks/size.py

The rendered files are counted; a project also has a lock file.
"""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from mlscaffold.new import new
from mlscaffold.options import options

ENGINE = ("evaluation", "pipelines", "serving", "tracking", "training")
"""Folders of the package that template updates keep current."""


def main() -> None:
    """Print a table for each preset, and for each other modality."""
    kinds = {**options().presets, **{name: {"modality": name} for name in ("image", "tabular")}}
    for kind, answers in kinds.items():
        with TemporaryDirectory() as folder:
            project = Path(folder, "project")
            new(str(project), given=answers, with_git=False, with_lock=False)
            files, lines = counted(project)
        print(f"\n{kind}: {files.total()} files, {lines.total()} lines\n")
        print(f"{'folder':32}{'files':>7}{'lines':>8}")
        for name in sorted(files):
            print(f"{name:32}{files[name]:7}{lines[name]:8}")


def counted(project: Path) -> tuple[Counter[str], Counter[str]]:
    """Return the files and the lines of each part of a project."""
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for path in project.rglob("*"):
        if path.is_file():
            name = part_of(path.relative_to(project))
            files[name] += 1
            lines[name] += len(path.read_bytes().splitlines())
    return files, lines


def part_of(path: Path) -> str:
    """Return the folder that a file is counted to."""
    first, *rest = path.parts
    if first != "src":
        return f"{first}/" if rest else "(top)"
    below = rest[1] if len(rest) > 2 else ""
    return f"src/{below}/{' (engine)' * (below in ENGINE)}" if below else "src/"


if __name__ == "__main__":
    main()
