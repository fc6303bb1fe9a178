"""Templates of others that have pieces for `mlscaffold add`, and projects of them."""

from pathlib import Path

from templates import commit_template
from toys import cli

PIECES = """\
_mark: "FILL IN"
page:
  files:
    "{{ name }}.txt": page.txt.jinja
  lines:
    - {file: name.txt, below: "{{ project_name }}", taken: "{{ name }} ", source: line.txt}
  next: ["open {{ name }}.txt"]
"""


def foreign_project(folder: Path) -> Path:
    """A project of another template, whose first release has pieces."""
    template = pieces_template(folder / "theirs", PIECES, tag="v1.0.0")
    return made(template, folder / "toy")


def pieces_template(folder: Path, table: str, *, tag: str | None = None) -> Path:
    """A template with pieces."""
    (folder / "pieces").mkdir(parents=True)
    (folder / "pieces" / "pieces.yml").write_text(table)
    (folder / "pieces" / "page.txt.jinja").write_text("{{ class_name }} FILL IN\n")
    (folder / "pieces" / "line.txt").write_text("as it is: {{ name }}\n\n")
    return commit_template(folder, tag=tag)


def made(template: Path, at: Path, *options: str) -> Path:
    done = cli("new", at, "--template", template, "--defaults", "--no-lock", *options)
    assert done.exit_code == 0, done.output
    return at
