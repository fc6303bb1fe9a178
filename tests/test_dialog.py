"""The questions of `new` on a terminal: menus, headings, and a summary before writing."""

from pathlib import Path

import pytest
import yaml
from pseudo_terminal import Terminal
from templates import COPIER_YML, commit, commit_template

DOWN, UP = "\x1b[B", "\x1b[A"


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template with a text, then a choice of numbers and one whose choices are explained."""
    folder = commit_template(tmp_path / "fork")
    store = (
        "store:\n  type: str\n  help: Where it is kept\n  default: files\n"
        "  choices:\n    on this disk: files\n    on a server: database\n_sub"
    )
    (folder / "copier.yml").write_text(COPIER_YML.replace("_sub", store))
    commit(folder, tag="v1.0.0")
    return folder


def start(template: Path, *arguments: str, **env: str) -> Terminal:
    """`mlscaffold new toy` at a terminal, beside the template."""
    command = ("new", "toy", f"--template={template}", "--no-lock", "--no-git", *arguments)
    return Terminal(*command, cwd=template.parent, **env)


def answers(template: Path) -> dict[str, object]:
    """What the project records."""
    recorded = yaml.safe_load((template.parent / "toy" / ".copier-answers.yml").read_text())
    return {key: value for key, value in recorded.items() if not key.startswith("_")}


@pytest.mark.parametrize(
    ("keys", "value"),
    [("\r", "files"), (f"{DOWN}\r", "database"), (f"{DOWN}{UP}\r", "files"), ("2\r", "database")],
)
def test_a_choice_is_made_with_arrow_keys_or_a_number(
    keys: str, value: str, template: Path
) -> None:
    terminal = start(template)
    terminal.see("The name [toy]: ")
    terminal.type("\r")
    terminal.see("How big")
    terminal.type(f"{DOWN}\r")
    terminal.see("Where it is kept")
    terminal.see("on a server")
    terminal.type(keys)
    terminal.see(f"Where it is kept: {value}\n")
    terminal.see("Write it? [Y/n]: ")
    terminal.type("\r")
    assert terminal.end() == 0, terminal.seen
    assert answers(template) == {"project_name": "toy", "size": 5, "store": value}
    assert "WARNING" not in terminal.seen


@pytest.mark.parametrize(("typed", "value"), [("2", "database"), ("DATABASE", "database")])
def test_without_arrow_keys_a_number_or_a_name_is_typed(
    typed: str, value: str, template: Path
) -> None:
    terminal = start(template, "-d", "size=5", TERM="dumb")
    terminal.see("The name [toy]: ")
    terminal.type("\r")
    terminal.see("  1) files         on this disk\n  2) database      on a server\n")
    terminal.see("Where it is kept [files]: ")
    terminal.type("3\r")
    terminal.see("store must be one of files, database; got '3'\n")
    terminal.see("Where it is kept [files]: ")
    terminal.type(f"{typed}\r")
    terminal.see("Write it? [Y/n]: ")
    terminal.type("y\r")
    assert terminal.end() == 0, terminal.seen
    assert answers(template)["store"] == value
    assert "\x1b[" not in terminal.seen.partition("Write it?")[0]


def test_each_group_has_a_heading_and_the_summary_a_line_for_each_answer(template: Path) -> None:
    terminal = start(template, "-d", "size=5", TERM="dumb")
    terminal.see("\nDetails: Enter keeps what stands in brackets.\n")
    terminal.see("The name [toy]: ")
    terminal.type("my-name\r")
    terminal.see("\nChoices: type a number or a name.\n")
    terminal.see("Where it is kept [files]: ")
    terminal.type("\r")
    terminal.see(
        f"\ntoy, from git+{template.as_uri()} v1.0.0:\n"
        "  project_name  my-name\n"
        "  size          5\n"
        "  store         files\n"
    )
    terminal.see("Write it? [Y/n]: ")
    terminal.type("\r")
    assert terminal.end() == 0, terminal.seen


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_no_writes_nothing(term: str, template: Path) -> None:
    terminal = start(template, "-d", "size=5", "-d", "store=files", TERM=term)
    terminal.see("The name [toy]: ")
    terminal.type("\r")
    terminal.see("Write it? [Y/n]: ")
    terminal.type("n\r")
    assert terminal.end() == 1
    assert terminal.seen.endswith("Nothing was written.\n")
    assert [path.name for path in template.parent.iterdir()] == ["fork"]


def test_nothing_is_confirmed_where_nothing_was_asked(template: Path) -> None:
    given = ("-d", "size=5", "-d", "store=files", "-d", "project_name=toy")
    for arguments in (given, ("--defaults",)):
        terminal = start(template, *arguments, "--dry-run")
        assert terminal.end() == 0
        assert "Write it?" not in terminal.seen
    terminal = start(template, *given)
    assert terminal.end() == 0
    assert "Write it?" not in terminal.seen


def test_a_dry_run_asks_and_confirms_nothing(template: Path) -> None:
    terminal = start(template, "-d", "size=5", "-d", "store=files", "--dry-run")
    terminal.see("The name [toy]: ")
    terminal.type("\r")
    assert terminal.end() == 0
    assert "Write it?" not in terminal.seen


@pytest.mark.parametrize("at", ["How big", "Write it? [Y/n]: "])
def test_an_interrupt_writes_nothing(at: str, template: Path) -> None:
    terminal = start(template, "-d", "store=files")
    terminal.see("The name [toy]: ")
    terminal.type("\r")
    terminal.see("How big")
    terminal.see("5")
    if at != "How big":
        terminal.type("\r")
        terminal.see(at)
    terminal.type("\x03" if at == "How big" else "\x04")
    assert terminal.end() == 130, terminal.seen
    assert "interrupted: nothing was changed\n" in terminal.seen
    assert "Traceback" not in terminal.seen
    assert [path.name for path in template.parent.iterdir()] == ["fork"]
