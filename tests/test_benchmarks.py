"""What a benchmark says where it cannot run, and what the benchmark of updates counts."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import conflicts
import pytest
from conflicts import Outcome, added, is_higher, outcome, parses
from edit_steps import Edit, Files
from natural_edits import CHANGES, EDITS
from update_tools import IDENTITY, Bench

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "serving.py"


def test_the_benchmark_of_servers_says_what_to_install(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: wrk is missing; install it: apt-get install wrk\n"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Two histories of this checkout's template."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in IDENTITY.items():
            patch.setenv(name, value)
        with conflicts.opened(2, seed=0) as bench:
            yield bench


@pytest.mark.parametrize("edit", [*EDITS, *CHANGES], ids=lambda edit: edit.name)
def test_an_edit_finds_its_place_in_the_template(edit: Edit, bench: Bench) -> None:
    base = bench.histories[0].base
    edited = edit.apply(base)
    assert edited.texts != base.texts
    assert all(parses(path, text) for path, text in edited.texts.items())


def test_there_are_as_many_kinds_as_the_benchmark_promises() -> None:
    assert len({edit.name for edit in EDITS}) >= 25
    assert len({edit.name for edit in CHANGES}) >= 14


@pytest.mark.slow
def test_updates_with_and_without_us_are_counted(bench: Bench) -> None:
    for history in bench.histories:
        ours, git = (outcome(bench, tool, history) for tool in ("ours", "git"))
        for left in (ours, git):
            assert isinstance(left, Outcome)
            assert not (left.lost or left.missing or left.broken or left.error)
        assert ours.hunks.keys() <= git.hunks.keys()


OLD = Files({"a.toml": '"torch>=2.1,<3",\n"numpy>=2.4,<3",\nepochs: 4\nimport one, two\n'})


@pytest.mark.parametrize(
    ("edited", "merged", "lost"),
    [
        ("epochs: 12", "epochs: 12", []),
        ("epochs: 12", "epochs: 6", ["epochs: 12"]),
        ("epochs: 4  # few", "epochs: 6  # few", []),
        ("epochs: 4  # few", "epochs: 6", ["epochs: 4  # few"]),
        ("epochs: 12", "<<<<<<< yours\nepochs: 12\n=======\nepochs: 6\n>>>>>>> new", []),
        ('"torch>=2.2,<3",', '"torch>=2.3,<3",', []),
        ('"torch>=2.3,<3",', '"torch>=2.2,<3",', ['"torch>=2.3,<3",']),
        ('"numpy>=2.1,<3",', '"numpy>=2.5,<3",', ['"numpy>=2.1,<3",']),
        ("import (\n    one,\n    two,\n)", "import one, two", []),
        ("import one, three, two", "import (\n    one,\n    two,\n)", ["import one, three, two"]),
    ],
)
def test_a_line_is_lost_if_its_words_are(edited: str, merged: str, lost: list[str]) -> None:
    [old] = [line for line in OLD.texts["a.toml"].splitlines() if line[:6] == edited[:6]]
    new = Files({"a.toml": OLD.texts["a.toml"].replace(old, edited)})
    left = {"a.toml": OLD.texts["a.toml"].replace(old, merged)}
    assert [line.text for line in added(OLD, new) if not line.is_in(left)] == lost


def test_a_pin_is_higher_only_where_nothing_else_differs() -> None:
    old, new = "uses: a/b@" + "1" * 40 + " # v1.9", "uses: a/b@" + "2" * 40 + " # v1.10"
    assert is_higher(new, old) and not is_higher(old, new)
    assert not is_higher("epochs: 6", "epochs: 4")
    assert not is_higher('"torch>=3,<4"', '"numpy>=2,<3"')
