"""An update loses nothing: small sizes of reliability/updates.py, and what users do next."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from update_proofs import crashes, environments, faults, histories, saves
from update_proofs.crashes import Scenario
from update_proofs.projects import Lab, commit, copied, files_of, git, index_of, open_lab, snapshot

from mlscaffold.errors import ProjectError
from mlscaffold.update import abort, resume

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "reliability" / "updates.py"
OTHER_DISK = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/")
UNDONE = "an update that was interrupted has been undone"
KINDS = (
    "update",
    "update --commit",
    "update --branch",
    "update, with conflicts",
    "update --abort",
    "update --continue",
)
LONG = ("update --commit", "update, with conflicts")
"""Kinds that take minutes, and do before each file what `update` does."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with open_lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def scenarios(lab: Lab) -> dict[str, Scenario]:
    return {one.name: one for one in crashes.scenarios(lab)}


@pytest.fixture
def halfway(lab: Lab, scenarios: dict[str, Scenario]) -> Path:
    """A project whose update was killed when src/extra.py was gone and nothing else was done."""
    scenario = scenarios["update"]
    return crashes.killed_when(lab, scenario, lambda top: not (top / "src/extra.py").exists())


def test_no_mark_is_lost_in_random_histories(lab: Lab) -> None:
    told = histories.random_histories(lab, trials=50, seed=10_000)
    assert (told.lost, told.wrong) == ([], [])
    assert told.histories == 50 and told.conflicts > 5 and told.marks > 200


@pytest.mark.parametrize("seed", [849, 977])
def test_histories_that_once_went_wrong(lab: Lab, seed: int) -> None:
    told = histories.random_histories(lab, trials=1, seed=seed)
    assert (told.lost, told.wrong, told.conflicts) == ([], [], 1)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.nightly] if kind in LONG else [], id=kind)
        for kind in KINDS
    ],
)
def test_kill_before_any_step(lab: Lab, scenarios: dict[str, Scenario], kind: str) -> None:
    tally = crashes.kill_everywhere(lab, scenarios[kind])
    assert tally.wrong == []
    assert tally.trials == tally.before + tally.after >= 6


def test_kill_before_some_steps(lab: Lab, scenarios: dict[str, Scenario]) -> None:
    tallies = [crashes.kill_everywhere(lab, one, every=7, start=3) for one in scenarios.values()]
    assert [wrong for tally in tallies for wrong in tally.wrong] == []
    assert sum(tally.after for tally in tallies) > 0


def test_kill_during_the_recovery(lab: Lab, scenarios: dict[str, Scenario]) -> None:
    tally = crashes.kill_recovery(lab, scenarios["update --commit"], every=3)
    assert tally.wrong == []
    assert tally.trials > 10


def test_kill_at_random_instants(lab: Lab, scenarios: dict[str, Scenario]) -> None:
    tally = crashes.kill_at_random(lab, scenarios["update, with conflicts"], trials=20, seed=0)
    assert tally.wrong == []
    assert tally.trials == 20


@pytest.mark.parametrize("is_lasting", [False, True])
def test_a_disk_that_fails(lab: Lab, scenarios: dict[str, Scenario], is_lasting: bool) -> None:
    for one in scenarios.values():
        tally = crashes.fail_everywhere(lab, one, lasting=is_lasting, every=11, start=2)
        assert tally.wrong == []


def test_a_full_disk(lab: Lab, scenarios: dict[str, Scenario]) -> None:
    tally = crashes.fill_disk(lab, scenarios["update"], sizes=range(0, 300_000, 25_000))
    if not tally.trials:
        pytest.skip("no right to mount a disk")
    assert tally.wrong == []
    assert tally.before > 0 and tally.after > 0


def test_interrupts_and_ends(lab: Lab, scenarios: dict[str, Scenario]) -> None:
    for one in scenarios.values():
        assert crashes.signal_everywhere(lab, one, every=9, start=1).wrong == []


def test_saves_before_some_steps(lab: Lab) -> None:
    tallies = [saves.save_everywhere(lab, one, every=29) for one in saves.scenarios(lab)]
    assert [wrong for tally in tallies for wrong in tally.wrong] == []
    assert sum(tally.trials for tally in tallies) > 40


@pytest.mark.nightly
def test_racing_saves(lab: Lab, scenarios: dict[str, Scenario]) -> None:
    tally = saves.race(lab, scenarios["update, with conflicts"], trials=15, seed=0)
    assert tally.wrong == []
    assert tally.before > 0 and tally.after > 0


def test_hostile_git_settings_change_nothing(lab: Lab) -> None:
    found = environments.hostile_settings(lab, trials=15, seed=10_000)
    assert (found.lost, found.wrong) == ([], [])
    assert found.counts["updated"] > 5


def test_two_updates_at_once(lab: Lab) -> None:
    found = environments.two_at_once(lab, pairs=10)
    assert found.wrong == []
    assert found.trials == 10


def test_mutated_answers(lab: Lab) -> None:
    found = environments.mutated_answers(lab, trials=60, seed=10_000)
    assert found.wrong == []
    assert found.counts["one line"] > 20


def test_chains_of_releases_end_where_a_fresh_render_is(lab: Lab) -> None:
    assert environments.chains(lab, trials=4, seed=10_000).wrong == []


def test_the_script_prints_a_row_for_each_proof() -> None:
    command = [sys.executable, SCRIPT, "--trials", "2", "--only", "histories", "chains"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    names = [line.split("  ")[0] for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert names == ["proof", "random histories", "chains of releases, against a fresh render"]


def test_the_next_command_tells_what_became_of_a_killed_update(
    halfway: Path, scenarios: dict[str, Scenario]
) -> None:
    command = [sys.executable, "-m", "mlscaffold", "update", "--abort", str(halfway)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    told = f"{halfway}: {UNDONE}\n{halfway}: as it was before the update\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, told, "")
    assert snapshot(halfway) == scenarios["update"].before


def test_work_between_a_crash_and_the_next_command_stays(halfway: Path) -> None:
    (halfway / ".git" / "index.lock").unlink()
    main, other = halfway / "src" / "main.py", halfway / "crlf.txt"
    main.write_text(main.read_text() + "after the crash\n")
    other.write_bytes(b"after the crash")
    git(halfway, "add", "src/main.py", "crlf.txt")
    files, index = files_of(halfway), index_of(halfway)
    assert abort(halfway).recovered == UNDONE
    now = files_of(halfway)
    assert {path: now[path] for path in ("src/main.py", "crlf.txt")} == {
        path: files[path] for path in ("src/main.py", "crlf.txt")
    }
    assert index_of(halfway) == index
    assert git(halfway, "status", "--porcelain", "-uno") == b"M  crlf.txt\nM  src/main.py\n"


def test_a_half_applied_update_that_was_added_to_the_index_is_undone_there_too(
    halfway: Path, scenarios: dict[str, Scenario]
) -> None:
    (halfway / ".git" / "index.lock").unlink()
    git(halfway, "add", "--update")
    assert abort(halfway).recovered == UNDONE
    assert snapshot(halfway) == scenarios["update"].before


def test_a_commit_between_a_crash_and_the_next_command_stays(halfway: Path) -> None:
    (halfway / ".git" / "index.lock").unlink()
    (halfway / "src" / "main.py").write_text("after the crash\n")
    git(halfway, "add", "--update")
    commit(halfway)
    head = git(halfway, "rev-parse", "HEAD")
    abort(halfway)
    assert git(halfway, "rev-parse", "HEAD") == head
    assert (halfway / "src" / "main.py").read_text() == "after the crash\n"


def test_a_folder_in_the_way_of_a_file_that_returns(
    halfway: Path, scenarios: dict[str, Scenario]
) -> None:
    notes = halfway / "src" / "extra.py" / "notes"
    notes.parent.mkdir()
    notes.write_text("mine\n")
    with pytest.raises(ProjectError) as caught:
        abort(halfway)
    told = "in the way of files to be restored: src/extra.py/notes; move them away first"
    assert str(caught.value) == told
    notes.unlink()
    notes.parent.rmdir()
    abort(halfway)
    assert snapshot(halfway) == scenarios["update"].before


def test_a_lock_of_another_git_command_is_left_alone(lab: Lab) -> None:
    project = lab.project("locked", release="v1.0.0")
    lock = project / ".git" / "index.lock"
    lock.write_text("")
    before = snapshot(project)
    with pytest.raises(ProjectError) as caught:
        lab.update(project)
    told = f"git is running in {project}, or was killed there: there is {lock}"
    assert str(caught.value) == told
    assert snapshot(project) == before


def test_a_broken_journal_is_told_in_one_line(halfway: Path) -> None:
    journal = halfway / ".git" / "mlscaffold-update" / "journal.json"
    journal.write_text("{}")
    with pytest.raises(ProjectError) as caught:
        abort(halfway)
    kept = journal.with_name("old")
    told = f"{journal} is broken: what was there before the update is kept in {kept}"
    assert str(caught.value) == told


def test_an_edit_that_git_does_not_see_is_not_overwritten(lab: Lab) -> None:
    project = lab.project("unseen", release="v1.0.0")
    for setting in ("core.trustctime=false", "core.checkStat=minimal"):
        git(project, "config", *setting.split("="))
    file = project / "src" / "main.py"
    os.utime(file, (1_700_000_000, 1_700_000_000))
    git(project, "update-index", "--refresh")
    file.write_text(file.read_text().replace("main line 7", "MAIN LINE 7"))
    os.utime(file, (1_700_000_000, 1_700_000_000))
    assert git(project, "status", "--porcelain") == b""
    before = files_of(project)
    with pytest.raises(ProjectError) as caught:
        lab.update(project, to="v1.1.0")
    told = f"{project} has changes that are not committed: src/main.py; commit or stash them first"
    assert str(caught.value) == told
    assert files_of(project) == before


def test_what_others_stage_during_conflicts_survives_abort(
    lab: Lab, scenarios: dict[str, Scenario]
) -> None:
    project = copied(scenarios["update --abort"].base, lab.folder / "staged")
    (project / "other.txt").write_text("staged\n")
    git(project, "add", "other.txt")
    abort(project)
    assert git(project, "diff", "--cached", "--name-only") == b"other.txt\n"
    assert git(project, "diff", "--name-only") == b""


def test_no_abort_past_a_commit_of_the_user(lab: Lab, scenarios: dict[str, Scenario]) -> None:
    project = copied(scenarios["update --continue"].base, lab.folder / "committed")
    git(project, "add", "--update")
    commit(project)
    before = snapshot(project)
    with pytest.raises(ProjectError) as caught:
        abort(project)
    told = (
        f"{project} has other commits than before the update, which aborting would undo in the "
        "files: end the update with `mlscaffold update --continue`"
    )
    assert str(caught.value) == told
    assert snapshot(project) == before
    assert resume(project).commit == ""
    assert git(project, "status", "--porcelain", "-uno") == b""


def test_a_git_directory_on_another_disk(lab: Lab, scenarios: dict[str, Scenario]) -> None:
    if OTHER_DISK.stat().st_dev == lab.folder.stat().st_dev:
        pytest.skip("no other disk here")
    project = copied(scenarios["update"].base, lab.folder / "trial")
    with TemporaryDirectory(dir=OTHER_DISK) as folder:
        shutil.move(project / ".git", folder)
        (project / ".git").write_text(f"gitdir: {folder}/.git\n")
        before, half = files_of(project), 0
        for step in range(60):
            ended = faults.run(lab, project, scenarios["update"].command, faults.kill_at(step))
            if ended.code != -signal.SIGKILL:
                break
            half += files_of(project) != before
            faults.run(lab, project, ("update", "--abort"))
            assert files_of(project) == before
        after = scenarios["update"].after["files"]
        assert (ended.code, files_of(project)) == (0, {**after, ".git": before[".git"]})  # ty: ignore
    assert half > 3
