"""Changed answers: by `set`, and by the questions of a newer release."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from choices import FOUND, is_valid
from evolving import RELEASES, evolving_template
from pseudo_terminal import Terminal
from templates import commit, git
from toys import Toys, cli, committed, edit, files_of, snapshot, staged_tree, status

from mlscaffold.new import new
from mlscaffold.rendering.render_cache import RenderCache, open_render_cache
from mlscaffold.update import Outcome, UpdateRequest, UpdateResult, update

MARK = b"\nmy own line\n"


@pytest.fixture
def toy(toys: Toys, tmp_path: Path) -> Path:
    """A project of the first release."""
    return toys.make(tmp_path / "toy")


def test_an_answer_is_changed_at_the_release_that_the_project_has(
    toys: Toys, toy: Path, tmp_path: Path
) -> None:
    done = cli("set", "store=database", "--project", toy)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (f"{toy}: v1.0.0: 1 changed, 1 added, 1 deleted; staged, not committed\n")
    fresh = toys.make(tmp_path / "fresh", store="database")
    assert staged_tree(toy) == staged_tree(fresh)
    assert files_of(toy) == files_of(fresh)
    commit(toy)
    assert (
        cli("set", "store=database", "--project", toy).stdout == f"{toy}: nothing to do at v1.0.0\n"
    )
    assert cli("diff", toy).stdout == ""
    assert cli("set", "store=files", "--project", toy).exit_code == 0
    assert git(toy, "write-tree") == git(toy, "rev-parse", "HEAD~1^{tree}")


def test_an_answer_can_change_together_with_the_release(
    toys: Toys, toy: Path, tmp_path: Path
) -> None:
    assert cli("update", toy, "-d", "store=database", "-d", "colour=blue").exit_code == 0
    fresh = toys.make(tmp_path / "fresh", release="v3.0.0", store="database", colour="blue")
    assert files_of(toy) == files_of(fresh)


def test_a_dry_run_of_set_changes_not_one_byte(toys: Toys, toy: Path) -> None:
    before = snapshot(toy)
    done = cli("set", "store=database", "--project", toy, "--dry-run")
    assert done.exit_code == 0
    assert done.stdout.endswith(
        f"{toy}: v1.0.0: 1 changed, 1 added, 1 deleted; nothing was changed now\n"
        "  added     src/store/database.py\n"
        "  deleted   src/store/files.py\n"
    )
    assert snapshot(toy) == before


@pytest.mark.parametrize(
    ("pair", "line"),
    [
        ("store=tape", "store must be one of files, database; got 'tape'"),
        ("color=red", "'color' is no question; there are project_name, store"),
        ("colour=red", "'colour' is no question; there are project_name, store"),
        ("store", "an answer must be KEY=VALUE, got 'store'"),
        ("_commit=v3.0.0", "'_commit' is no question; there are project_name, store"),
    ],
)
def test_a_bad_answer_is_wrong_usage(pair: str, line: str, toys: Toys, toy: Path) -> None:
    before = snapshot(toy)
    for command in (["set", pair, "--project"], ["update", "--to=v1.0.0", "-d", pair]):
        done = cli(*command, toy)
        assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"error: {line}\n")
    assert snapshot(toy) == before


def test_a_new_question_takes_its_default_where_nobody_can_answer(toys: Toys, toy: Path) -> None:
    toys.update(toy)
    assert "colour: red\n" in (toy / ".copier-answers.yml").read_text()
    assert (toy / "colour.txt").read_text() == "red\n"


def test_a_new_question_is_asked_on_a_terminal_and_no_other(toys: Toys, toy: Path) -> None:
    terminal = Terminal("update", str(toy), cwd=toy.parent, TERM="dumb")
    terminal.type("green\nblue\n")
    assert terminal.end() == 0
    assert "1) red\n  2) blue\ncolour [red]: " in terminal.seen
    assert "colour must be one of red, blue; got 'green'" in terminal.seen
    assert "store" not in terminal.seen and "project_name" not in terminal.seen
    assert (toy / "colour.txt").read_text() == "blue\n"


def test_a_new_question_that_is_answered_is_not_asked(toys: Toys, toy: Path) -> None:
    terminal = Terminal("update", str(toy), "-d", "colour=blue", cwd=toy.parent, TERM="dumb")
    assert terminal.end() == 0
    assert "colour" not in terminal.seen
    assert (toy / "colour.txt").read_text() == "blue\n"


ONE_QUESTION = "project_name: toy\n_subdirectory: template\n_preserve_symlinks: true\n"
FEWER_CHOICES = (
    "project_name: toy\nstore:\n  type: str\n  choices: [database, tape]\n  default: tape\n"
    "_subdirectory: template\n_preserve_symlinks: true\n"
)


def test_a_question_that_is_gone_is_dropped(toys: Toys, tmp_path: Path) -> None:
    template = evolving_template(
        tmp_path / "template", questions=dict.fromkeys(RELEASES[1:], ONE_QUESTION)
    )
    toy = toys.make(tmp_path / "toy", template=template)
    assert toys.update(toy, to="v1.1.0").outcome is Outcome.UPDATED
    assert "store" not in (toy / ".copier-answers.yml").read_text()
    assert (toy / "src" / "store" / "database.py").exists()
    commit(toy)
    assert cli("set", "store=files", "--project", toy).stderr == (
        "error: 'store' is no question; there are project_name\n"
    )


def test_a_choice_that_is_gone_has_to_be_answered_anew(toys: Toys, tmp_path: Path) -> None:
    template = evolving_template(
        tmp_path / "template", questions=dict.fromkeys(RELEASES[1:], FEWER_CHOICES)
    )
    toy = toys.make(tmp_path / "toy", template=template)
    before = snapshot(toy)
    done = cli("update", toy)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {toy}: store must be one of database, tape; got 'files'; "
        "answer it again with -d store=...\n"
    )
    assert snapshot(toy) == before
    assert cli("update", toy, "-d", "store=tape").exit_code == 0
    assert "store: tape\n" in (toy / ".copier-answers.yml").read_text()


CHOICES = {
    question.name: tuple(map(str, question.values))
    for question in FOUND.questions
    if question.choices
}
DEFAULTS = {question.name: str(question.default) for question in FOUND.questions}
DEFAULTS["python_version"] = "{}.{}".format(*sys.version_info)  # what `new` suggests
SWITCHES = [
    (question, old, new)
    for question, choices in CHOICES.items()
    for old in choices
    for new in choices
    if old != new
]


@pytest.fixture(scope="module")
def renders() -> Iterator[RenderCache]:
    """Renders of the template itself."""
    with open_render_cache() as renders:
        yield renders


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Path]]:
    """A fresh project for each choice, the other questions having their defaults."""
    made = {}
    default = None
    for question, choices in CHOICES.items():
        for choice in choices:
            if choice == DEFAULTS[question] and default:
                made[question, choice] = default
                continue
            folder = tmp_path_factory.mktemp("fresh") / "toy"
            new(str(folder), given={question: choice}, with_lock=False)
            made[question, choice] = folder
            default = folder if choice == DEFAULTS[question] else default
    yield made


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file that is there."""
    return {path: found for path, found in files_of(folder).items() if found[1] != b"folder"}


def copied(project: Path, at: Path) -> Path:
    subprocess.run(["cp", "-a", str(project), str(at)], check=True)
    return at


@pytest.mark.slow
@pytest.mark.parametrize(("question", "old", "chosen"), SWITCHES)
def test_every_choice_can_become_every_other(
    question: str,
    old: str,
    chosen: str,
    fresh: dict[tuple[str, str], Path],
    renders: RenderCache,
    tmp_path: Path,
) -> None:
    def switched(project: Path) -> UpdateResult:
        request = UpdateRequest(given={question: chosen}, same_release=True)
        return update(project, request, cache=renders)

    before, after = contents(fresh[question, old]), contents(fresh[question, chosen])
    plain = copied(fresh[question, old], tmp_path / "plain")
    done = switched(plain)
    assert done.conflicts == {}
    assert contents(plain) == after
    assert staged_tree(plain) == git(fresh[question, chosen], "rev-parse", "HEAD^{tree}")

    going = sorted(before.keys() - after.keys())
    changing = [path for path in before.keys() & after.keys() if before[path] != after[path]]
    edited = copied(fresh[question, old], tmp_path / "edited")
    mine = [path for path in [*going, *changing] if path != ".copier-answers.yml"]
    for path in mine:
        # Ahead of everything, and away from what the change touches.
        (edited / path).write_bytes(MARK + before[path][1])
    if mine:
        committed(edited)
    untouched = contents(edited)
    done = switched(edited)
    assert {path for path, why in done.conflicts.items()} >= set(going)
    assert {done.conflicts[path] for path in going} <= {"you changed what you have deselected"}
    for path in mine:
        assert MARK.strip() in (edited / path).read_bytes(), path
    for path in after.keys() - before.keys():
        assert (edited / path).read_bytes() == after[path][1]
    if done.outcome is Outcome.CONFLICTS:
        assert cli("update", "--abort", edited).exit_code == 0
        assert contents(edited) == untouched
        assert status(edited) == []


def test_what_users_add_is_in_the_way_of_no_answer(renders: RenderCache, tmp_path: Path) -> None:
    toy = tmp_path / "toy"
    new(str(toy), given={}, with_lock=False)
    with (toy / "Makefile").open("a") as makefile:
        makefile.write("\ndocs:  ## Build our documentation\n\tmkdocs build\n")
    with (toy / "README.md").open("a") as readme:
        readme.write("\n## Contacts\n\nThe data team.\n")
    with (toy / ".gitignore").open("a") as gitignore:
        gitignore.write("/outputs/\n")
    edit(toy / "pyproject.toml", ("    # Your own:\n", '    # Your own:\n    "polars>=1.9",\n'))
    committed(toy)
    tree = git(toy, "rev-parse", "HEAD^{tree}")
    start = [choices.index(DEFAULTS[question]) for question, choices in CHOICES.items()]
    made: set[tuple[str, str]] = set()
    for turn in [*range(1, max(map(len, CHOICES.values()))), 0]:
        # Each question takes its next choice, and in the last turn its default again.
        answers = {
            question: choices[(first + turn) % len(choices)]
            for (question, choices), first in zip(CHOICES.items(), start, strict=True)
        }
        for question in ("monitoring", "deployment"):
            if not is_valid(answers):  # this server has no such choice
                answers[question] = "none"
        made |= answers.items()
        request = UpdateRequest(given=answers, same_release=True, commits=True)
        assert update(toy, request, cache=renders).conflicts == {}
    assert made == {(question, one) for question, many in CHOICES.items() for one in many}
    assert git(toy, "rev-parse", "HEAD^{tree}") == tree
