"""An editor or a program that writes files while an update replaces them: nothing is lost."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from update_proofs import faults, saves
from update_proofs.projects import Lab, copied, files_of, git, open_lab, snapshot

pytestmark = pytest.mark.slow

MINE = b"mine, saved meanwhile\n"
CHANGED = "error: {} has just changed, or a program has it open: try again\n"
Save = Callable[[Path, bytes], None]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with open_lab() as lab:
        # Renders what the commands' processes then find rendered.
        lab.update(lab.project("rendered", release="v1.0.0"), to="v1.1.0", dry_run=True)
        yield lab


@pytest.fixture(scope="module")
def base(lab: Lab) -> Path:
    return lab.project("base", release="v1.0.0")


def swept(
    lab: Lab, base: Path, command: tuple[str, ...], path: str, save: Save
) -> Iterator[tuple[Path, faults.Ended]]:
    """The project after the command, for each of its steps before which the file was saved."""
    for number in range(faults.run(lab, copied(base, lab.folder / "trial"), command).steps):
        project = copied(base, lab.folder / "trial")

        def fault(step: int, number: int = number, file: Path = project / path) -> None:
            if step == number:
                save(file, MINE)

        yield project, faults.run(lab, project, command, fault)


@pytest.mark.parametrize("way", ["in place", pytest.param("by rename", marks=pytest.mark.nightly)])
def test_a_file_that_the_update_changes(way: str, lab: Lab, base: Path) -> None:
    before, told, done = files_of(base), set(), 0
    for project, ended in swept(lab, base, ("update", "--to=v1.1.0"), "run.sh", saves.WAYS[way]):
        files = files_of(project)
        assert files.pop("run.sh")[1] == MINE, ended
        if ended.code:
            assert files == {path: one for path, one in before.items() if path != "run.sh"}
            told.add(ended.printed.replace(str(project), "toy"))
        done += ended.code == 0
    assert told == {
        "error: toy has changes that are not committed: run.sh; commit or stash them first\n",
        CHANGED.format("run.sh"),
    }
    assert done > 5


def test_a_new_file_where_the_update_brings_one(lab: Lab, base: Path) -> None:
    command, told = ("update", "--to=v1.1.0"), set()
    for project, ended in swept(lab, base, command, "src/extra.py", saves.by_rename):
        assert (project / "src" / "extra.py").read_bytes() == MINE, ended
        told |= {ended.printed} if ended.code else set()
    assert told == {CHANGED.format("src/extra.py")}


def test_a_file_that_going_back_restores(lab: Lab, base: Path) -> None:
    project = copied(base, lab.folder / "conflicts")
    main = project / "src" / "main.py"
    main.write_text(main.read_text().replace("main line 5\n", "mine 5\n"))
    git(project, "commit", "--quiet", "--all", "--message=Edit")
    assert lab.update(project, to="v1.1.0").conflicts
    abort = ("update", "--abort")
    for trial, ended in swept(lab, project, abort, "src/main.py", saves.by_rename):
        assert (ended.code, (trial / "src" / "main.py").read_bytes()) == (0, MINE)
        assert (trial / "run.sh").read_bytes() == (base / "run.sh").read_bytes()


def test_what_a_program_writes_into_a_file_that_it_has_open(lab: Lab, base: Path) -> None:
    project = copied(base, lab.folder / "trial")
    before = snapshot(project)
    file = project / "run.sh"
    opened = file.open("ab", buffering=0)

    def fault(_: int) -> None:
        if not file.exists():
            os.write(opened.fileno(), MINE)

    ended = faults.run(lab, project, ("update", "--to=v1.1.0"), fault)
    assert (ended.code, ended.printed) == (1, CHANGED.format("run.sh"))
    after, text = snapshot(project), file.read_bytes()
    assert (MINE in text, text.replace(MINE, b"")) == (True, (base / "run.sh").read_bytes())
    del before["files"]["run.sh"], after["files"]["run.sh"]  # ty: ignore
    assert after == before


def test_what_a_program_that_has_a_file_open_writes_after_the_update(lab: Lab, base: Path) -> None:
    project = copied(base, lab.folder / "trial")
    before = snapshot(project)
    with (project / "run.sh").open("ab", buffering=0) as opened:
        ended = faults.run(lab, project, ("update", "--to=v1.1.0"), lambda _: None)
        assert (ended.code, ended.printed) == (1, CHANGED.format("run.sh"))
        assert snapshot(project) == before
        opened.write(MINE)
    assert (project / "run.sh").read_bytes().endswith(MINE)
