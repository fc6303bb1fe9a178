"""A small template with five releases and typical changes, for tests of updates."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from templates import git

RELEASES = ("v1.0.0", "v1.1.0", "v2.0.0", "v2.1.0", "v3.0.0")

_QUESTIONS = """\
project_name:
  type: str
  default: toy
store:
  type: str
  choices: [files, database]
  default: files
_subdirectory: template
_preserve_symlinks: true
_exclude:
  - .git
  - "{% if store != 'files' %}src/store/files.py{% endif %}"
  - "{% if store != 'database' %}src/store/database.py{% endif %}"
"""
COMPONENTS = """\
_environment:
  setup: make setup
  packages: [torch, dvc]
store:
  files:
    server:
      variable: STORE_URI
      path: /health
      without: files are kept on this machine
  database:
    account:
      service: the database
      variable: STORE_KEY
      host: store.example
      mode: STORE_MODE
      offline: [offline]
      without: the database is not used
      fix: "store login"
"""
_ANSWERS_FILE = "{{ _copier_conf.answers_file }}.jinja"
_ANSWERS = "{{ _copier_answers | to_nice_yaml }}"
_NEW_QUESTION = """\
colour:
  type: str
  choices: [red, blue]
  default: red
"""


def _lines(name: str, *, changed: Mapping[int, str] | None = None, count: int = 40) -> str:
    """Return a file of numbered lines, some of them changed."""
    return "".join(
        f"{(changed or {}).get(number, f'{name} line {number}')}\n" for number in range(count)
    )


# By path, what a release changes: text, bytes, a link as a Path, or `None` to remove the file.
Files = Mapping[str, str | bytes | Path | None]

_CHANGES: Mapping[str, Files] = {
    "v1.0.0": {
        ".gitignore": "*.local\n/cache/\n",
        "README.md.jinja": "# {{ project_name }}\n\n" + _lines("readme"),
        "src/main.py": _lines("main"),
        "src/tools.py": _lines("tools"),
        "src/store/files.py": _lines("files"),
        "src/store/database.py": _lines("database"),
        "src/legacy.py": _lines("legacy"),
        "docs/one.md": _lines("one"),
        "docs/two.md": _lines("two"),
        "logo.bin": bytes(range(256)),
        "run.sh": "#!/bin/sh\n" + _lines("run"),
        "latest": Path("docs/one.md"),
        "umläut ß.txt": _lines("umlaut"),
        "crlf.txt": _lines("crlf").replace("\n", "\r\n"),
    },
    "v1.1.0": {
        "src/main.py": _lines("main", changed={5: "main improved 5", 30: "main improved 30"}),
        "src/extra.py": _lines("extra"),
        "run.sh": "#!/bin/sh\nset -e\n" + _lines("run"),
        "crlf.txt": _lines("crlf", changed={3: "crlf better"}).replace("\n", "\r\n"),
    },
    "v2.0.0": {
        # Renamed, with an edit; removed; a folder moved; a new question.
        "src/tools.py": None,
        "src/toolbox.py": _lines("tools", changed={12: "tools improved"}),
        "src/legacy.py": None,
        "docs/one.md": None,
        "docs/two.md": None,
        "guide/one.md": _lines("one"),
        "guide/two.md": _lines("two", changed={2: "two improved"}),
        "latest": Path("guide/one.md"),
        "logo.bin": bytes(reversed(range(256))),
        "colour.txt.jinja": "{{ colour }}\n",
    },
    "v2.1.0": {
        "src/main.py": _lines("main", changed={5: "main again 5", 31: "main again 31"}),
        "umläut ß.txt": _lines("umlaut", changed={9: "umlaut improved"}),
        "src/store/database.py": _lines("database", changed={1: "database improved"}),
        "src/extra.py": None,
        "src/extra/__init__.py": _lines("extra"),
    },
    "v3.0.0": {
        "src/toolbox.py": _lines("tools", changed={12: "tools improved", 38: "tools end"}),
        "README.md.jinja": "# {{ project_name }}\n\n" + _lines("readme", changed={0: "welcome"}),
        "run.sh": None,
        "bin/run": "#!/bin/sh\nset -e\n" + _lines("run"),
        ".gitignore": "*.local\n/cache/\n/output/\n",
    },
}


def evolving_template(folder: Path, *, questions: Mapping[str, str] | None = None) -> Path:
    """Write the template's repository, a tag per release; `questions` replace a copier.yml."""
    texts = {
        release: (_NEW_QUESTION if release >= "v2" else "") + _QUESTIONS for release in RELEASES
    }
    texts |= questions or {}
    return template_of(folder, _CHANGES, questions=texts, components=COMPONENTS)


def template_of(
    folder: Path,
    changes: Mapping[str, Files],
    *,
    questions: Mapping[str, str] | None = None,
    components: str = "",
) -> Path:
    """Write a template's repository with a tagged release for each of the changes."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    write(folder / "template" / _ANSWERS_FILE, _ANSWERS)
    if components:
        write(folder / "components.yml", components)
    for release, files in changes.items():
        (folder / "copier.yml").write_text((questions or {}).get(release, _QUESTIONS))
        for name in sorted(files, key=lambda name: files[name] is not None):
            write(folder / "template" / name, files[name])
        git(folder, "add", "--all", "--force")
        git(folder, "commit", "--quiet", "--message", release)
        git(folder, "tag", release)
    return folder


def write(path: Path, content: str | bytes | Path | None) -> None:
    """Write or remove the file; a program is made executable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None or path.is_symlink() or isinstance(content, Path):
        path.unlink(missing_ok=content is not None)
    if content is None:
        with suppress(OSError):
            path.parent.rmdir()
    if isinstance(content, Path):
        path.symlink_to(content)
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if path.suffix == ".sh" or path.parent.name == "bin":
            path.chmod(0o755)
