"""A template of somebody else: nothing that our own template says holds for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from templates import commit, git
from toys import cli, snapshot

COPIER_YML = """\
project_name:
  type: str
  default: json
package_name:
  type: str
  default: torch
author_name:
  type: str
  default: "-"
shout:
  type: str
  default: quiet
  validator: "[% if shout != shout.lower() %]Please, in [[ 'small' ]] letters[% endif %]"
_envops:
  block_start_string: "[%"
  block_end_string: "%]"
  variable_start_string: "[["
  variable_end_string: "]]"
_subdirectory: template
"""
FILES = {
    "[[ _copier_conf.answers_file ]].jinja": "[[ _copier_answers | to_nice_yaml ]]",
    "name.txt.jinja": "[[ project_name ]] [[ package_name ]] [[ shout ]]\n",
}
COMPONENTS_YML = """\
_presets:
  silent:
    shout: hush
_next: [just install]
_environment:
  setup: just install
shout:
  hush:
    account:
      service: the library
      variable: CARD
      host: library.example
      mode: LIBRARY
      offline: [closed]
      without: it is closed
      fix: ask for a card
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template with a release, without components.yml and reserved-names.txt."""
    folder = tmp_path / "theirs"
    (folder / "template").mkdir(parents=True)
    (folder / "copier.yml").write_text(COPIER_YML)
    for name, text in FILES.items():
        (folder / "template" / name).write_text(text)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, tag="v1.0.0")
    return folder


def mlscaffold(*arguments: str | Path, cwd: Path, code: int = 0) -> str:
    """What a command printed, on both streams."""
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-m", "mlscaffold", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "NETRC": str(cwd / "netrc")},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_each_command_works_and_refuses_nothing(template: Path, tmp_path: Path) -> None:
    said = mlscaffold("new", "toy", f"--template={template}", cwd=tmp_path)
    assert said.startswith("Made toy from ")  # without a warning
    assert said.endswith("\n\nNext:\n  cd toy\n")
    toy = tmp_path / "toy"
    assert (toy / "name.txt").read_text() == "toy torch quiet\n"

    (template / "template" / "more.txt").write_text("more\n")
    commit(template, tag="v1.1.0")
    assert "v1.0.0 to v1.1.0" in mlscaffold("update", "--commit", cwd=toy)
    assert mlscaffold("check", cwd=toy) == ".: current (v1.1.0)\n"
    assert mlscaffold("diff", cwd=toy) == ""

    found = mlscaffold("options", f"--template={template}", cwd=tmp_path)
    assert "\npresets\n    standard      every default\nrelease: v1.1.0 of " in found
    found = mlscaffold("doctor", cwd=toy)
    assert [line.split()[1] for line in found.splitlines()] == ["git:", "uv:", "Python:"]


def test_its_own_validators_are_asked_before_anything_is_written(
    template: Path, tmp_path: Path
) -> None:
    command = ("new", "toy", f"--template={template}", "-d", "shout=LOUD")
    said = mlscaffold(*command, cwd=tmp_path, code=2)
    assert said == "error: shout: Please, in small letters; got 'LOUD'\n"
    assert not (tmp_path / "toy").exists()


def test_presets_and_checks_are_those_of_its_components(template: Path, tmp_path: Path) -> None:
    (template / "components.yml").write_text(COMPONENTS_YML)
    commit(template, tag="v1.1.0")
    command = ("new", "toy", f"--template={template}", "--preset=silent")
    assert mlscaffold(*command, cwd=tmp_path).endswith("\nNext:\n  cd toy\n  just install\n")
    found = mlscaffold("doctor", "toy", cwd=tmp_path, code=1)
    assert "\n          fix: just install\n" in found
    assert "broken    shout: no key for the library\n          fix: ask for a card\n" in found
    said = mlscaffold("new", "b", f"--template={template}", "--preset=full", cwd=tmp_path, code=2)
    assert said == "error: --preset must be one of standard, silent; got 'full'\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a list\n", "dictionary update sequence"),
        ("_presets: [full]\n", ""),
        ("a:\n  b:\n    server: {variable: A, path: .evil, without: x}\n", "must begin with '/'"),
        ("a:\n  b:\n    files: 3\n", "not iterable"),
        ("a:\n  b:\n    account: {service: [x]}\n", "a text was expected, got list"),
    ],
)
def test_a_components_file_that_makes_no_sense_is_one_line(
    text: str, reason: str, template: Path, tmp_path: Path
) -> None:
    (template / "components.yml").write_text(text)
    commit(template, tag="v1.1.0")
    said = mlscaffold("options", f"--template={template}", cwd=tmp_path, code=1)
    assert said.startswith("error: components.yml can't be read: ")
    assert said.count("\n") == 1
    assert reason in said


def test_doctor_says_that_it_can_not_read_the_template(template: Path, tmp_path: Path) -> None:
    mlscaffold("new", "toy", f"--template={template}", cwd=tmp_path)
    template.rename(tmp_path / "moved")
    found = mlscaffold("doctor", "toy", cwd=tmp_path)
    assert "\nunknown   template: the template file://" in found


MIGRATIONS = {
    "a command": ("[touch ../ran]", True),
    "a list": ("[[touch, ../ran]]", True),
    "of this version": ("[{version: v1.2.0, command: touch ../ran}]", True),
    "before": ("[{version: v1.1.5, before: [touch ../ran]}]", True),
    "of an older version": ("[{version: v1.0.0, command: touch ../ran}]", False),
    "of a newer version": ("[{version: v2.0.0, after: [touch ../ran]}]", False),
    "none": ("[]", False),
}


@pytest.mark.parametrize("kind", MIGRATIONS)
def test_an_update_with_migrations_is_refused(kind: str, template: Path, tmp_path: Path) -> None:
    text, is_refused = MIGRATIONS[kind]
    toy = tmp_path / "toy"
    assert cli("new", toy, f"--template={template}", "--no-lock").exit_code == 0
    before = snapshot(toy)
    (template / "copier.yml").write_text(COPIER_YML + f"_migrations: {text}\n")
    (template / "template" / "more.txt").write_text("more\n")
    commit(template, tag="v1.2.0")
    done = cli("update", toy)
    assert not (tmp_path / "ran").exists()
    assert (done.exit_code, (toy / "more.txt").exists()) == (int(is_refused), not is_refused)
    if is_refused:
        assert done.output == (
            "error: the template runs commands (migrations) for an update from v1.0.0 to v1.2.0; "
            "--trust allows that\n"
        )
        assert snapshot(toy) == before
