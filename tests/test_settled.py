"""Updates whose conflicts are settled by rules: how they are told, and how they are left alone."""

import json
from pathlib import Path

import pytest
from evolving import template_of
from templates import commit, git
from toys import Toys, cli, files_of, snapshot, status

from mlscaffold.update import Outcome, abort, resume

MAKEFILE = "test:\n\tpytest\n\nclean:\n\trm -rf data models\n"
CONFIG = "epochs: 4\nbatch_size: 32\nwidth: 8\ndepth: 2\n\n# The loop.\nloss: mse\nseed: 1\n"
STORE = "store: {{ store }}\nsize: 1\n"
STRICT = """\
epochs: 4
<<<<<<< yours
batch_size: 64
width: 8
||||||| template-v1.0.0
batch_size: 32
width: 8
=======
batch_size: 32
width: 16
>>>>>>> template-v3.0.0
depth: 2

# The loop.
<<<<<<< yours
loss: mae
||||||| template-v1.0.0
loss: mse
=======
loss: huber
>>>>>>> template-v3.0.0
seed: 1
"""


@pytest.fixture
def toy(toys: Toys, tmp_path: Path) -> Path:
    """A project in which both sides added a target, and changed settings that touch."""
    template = template_of(
        tmp_path / "template",
        {
            "v1.0.0": {"Makefile": MAKEFILE, "c.yaml": CONFIG, "s.yaml.jinja": STORE},
            "v2.0.0": {
                "Makefile": f"{MAKEFILE}\ntheirs:\n\techo theirs\n",
                "c.yaml": CONFIG.replace("width: 8", "width: 16").replace("4\nb", "8\nb"),
            },
            "v3.0.0": {"c.yaml": CONFIG.replace("width: 8", "width: 16").replace("mse", "huber")},
        },
    )
    toy = toys.make(tmp_path / "toy", template=template)
    (toy / "Makefile").write_text(f"{MAKEFILE}\nmine:\n\techo mine\n")
    (toy / "c.yaml").write_text(CONFIG.replace("32", "64"))
    (toy / "s.yaml").write_text("store: files\nsize: 2\n")
    commit(toy)
    return toy


def test_each_settled_hunk_is_told(toy: Path) -> None:
    done = cli("update", toy, "--to=v2.0.0")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        f"{toy}: v1.0.0 to v2.0.0: 3 changed; staged, not committed\n"
        "  settled   Makefile:6-11: both added blocks at one place\n"
        "  settled   c.yaml:1-3: both changed lines that touch\n"
    )
    assert (toy / "Makefile").read_text() == (
        f"{MAKEFILE}\nmine:\n\techo mine\n\ntheirs:\n\techo theirs\n"
    )
    assert (toy / "c.yaml").read_text() == (
        CONFIG.replace("32", "64").replace("width: 8", "width: 16").replace("4\nb", "8\nb")
    )
    assert status(toy) == ["M  .copier-answers.yml", "M  Makefile", "M  c.yaml"]


def test_it_is_in_the_document(toy: Path) -> None:
    before = snapshot(toy)
    done = cli("update", toy, "--to=v2.0.0", "--dry-run", "--json")
    [document] = json.loads(done.stdout)
    assert document["settled"] == [
        {"path": "Makefile", "lines": [6, 11], "rule": "blocks"},
        {"path": "c.yaml", "lines": [1, 3], "rule": "touching"},
    ]
    assert document["conflicts"] == {}
    assert "+mine" not in document["diff"]
    assert snapshot(toy) == before


def test_strict_leaves_each_conflict_of_git(toy: Path) -> None:
    done = cli("update", toy, "--to=v2.0.0", "--strict")
    assert done.exit_code == 3
    assert "  conflict  Makefile: both changed it\n" in done.stdout
    assert "  conflict  c.yaml: both changed it\n" in done.stdout
    assert "  settled  " not in done.stdout
    assert "<<<<<<< yours\nmine:\n" in (toy / "Makefile").read_text()


def test_other_answers_are_settled_too_unless_it_is_strict(toy: Path) -> None:
    done = cli("set", "store=database", "--strict", "--project", toy)
    assert (done.exit_code, "  settled  " in done.stdout) == (3, False)
    abort(toy)
    done = cli("set", "store=database", "--project", toy)
    assert done.exit_code == 0
    assert "  settled   s.yaml:1-2: both changed lines that touch\n" in done.stdout
    assert (toy / "s.yaml").read_text() == "store: database\nsize: 2\n"


def test_what_is_left_in_a_file_is_as_git_writes_it(toys: Toys, toy: Path) -> None:
    (toy / "c.yaml").write_text(CONFIG.replace("32", "64").replace("mse", "mae"))
    commit(toy)
    before, index = files_of(toy), (toy / ".git" / "index").read_bytes()
    done = toys.update(toy, to="v3.0.0", strict=True)
    assert (done.outcome, done.settled) == (Outcome.CONFLICTS, ())
    strict = (toy / "c.yaml").read_text()
    assert strict == STRICT
    abort(toy)
    assert files_of(toy) == before
    done = toys.update(toy, to="v3.0.0")
    assert done.conflicts == {"c.yaml": "both changed it"}
    assert [(one.path, one.rule) for one in done.settled] == [
        ("Makefile", "blocks"),
        ("c.yaml", "touching"),
    ]
    head, tail = strict.index("<<<<<<<"), strict.index("depth")
    assert (toy / "c.yaml").read_text() == (
        f"{strict[:head]}batch_size: 64\nwidth: 16\n{strict[tail:]}"
    )
    for stage, text in ((2, CONFIG.replace("32", "64").replace("mse", "mae")), (1, CONFIG)):
        assert f"{git(toy, 'show', f':{stage}:c.yaml')}\n" == text
    abort(toy)
    assert files_of(toy) == before
    assert (toy / ".git" / "index").read_bytes() == index


def test_what_is_left_is_resolved_as_ever(toys: Toys, toy: Path) -> None:
    (toy / "c.yaml").write_text(CONFIG.replace("32", "64").replace("mse", "mae"))
    commit(toy)
    toys.update(toy, to="v3.0.0")
    text = (toy / "c.yaml").read_text()
    start, end = text.index("<<<<<<<"), text.index("seed")
    (toy / "c.yaml").write_text(f"{text[:start]}loss: mae\n{text[end:]}")
    assert resume(toy).outcome is Outcome.UPDATED
    assert "\tpytest\n" in git(toy, "show", ":Makefile")


def test_a_branch_has_what_was_settled(toys: Toys, toy: Path) -> None:
    before = snapshot(toy, without=(".git",))
    done = toys.update(toy, to="v2.0.0", branch="next")
    assert (done.outcome, len(done.settled)) == (Outcome.UPDATED, 2)
    assert "mine:\n\techo mine\n\ntheirs:" in git(toy, "show", "next:Makefile")
    assert snapshot(toy, without=(".git",)) == before


@pytest.mark.parametrize("end", ["", "\n"], ids=["no end", "an end"])
def test_a_last_line_without_an_end_is_left_to_git(end: str, toys: Toys, toy: Path) -> None:
    (toy / "c.yaml").write_text(f"{CONFIG.replace('32', '64')}mine: 1{end}")
    commit(toy)
    done = toys.update(toy, to="v2.0.0")
    assert list(done.conflicts) == ([] if end else ["c.yaml"])


def test_a_line_that_looks_like_a_marker_is_no_marker(toys: Toys, toy: Path) -> None:
    text = (toy / "c.yaml").read_text() + f"# {'=' * 61}\n{'=' * 61}: 1\n"
    (toy / "c.yaml").write_text(text)
    commit(toy)
    assert list(toys.update(toy, to="v2.0.0").conflicts) == ["c.yaml"]
    assert (toy / "c.yaml").read_text().endswith(f"{'=' * 61}: 1\n")


def test_line_ends_of_windows_stay(toys: Toys, toy: Path) -> None:
    for name in ("Makefile", "c.yaml"):
        (toy / name).write_bytes((toy / name).read_bytes().replace(b"\n", b"\r\n"))
    commit(toy)
    done = toys.update(toy, to="v2.0.0")
    assert [one.path for one in done.settled] == ["Makefile", "c.yaml"]
    for name in ("Makefile", "c.yaml"):
        text = (toy / name).read_bytes()
        assert text.count(b"\n") == text.count(b"\r\n") > 5
