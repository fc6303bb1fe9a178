"""Merges in which git, or the rule that what is deleted stays deleted, would hide a change."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from evolving import Files, template_of, write
from templates import commit, git
from toys import Toys, cli, files_of

WAYS_OUT = (
    "Resolve it (git status lists it), then: mlscaffold update --continue {toy}\n"
    "Or go back to what was there: mlscaffold update --abort {toy}\n"
)
MOVED = "  conflict  docs~yours: a file here, a folder there\n"


def text(name: str, *, changed: str = "line 5") -> str:
    """Ten lines."""
    return "".join(f"{name} line {number}\n" for number in range(10)).replace("line 5", changed)


def better(name: str) -> str:
    """The same, with a line that the template has changed."""
    return text(name, changed="better 5")


def moved(toy: Path, old: str, new: str) -> None:
    (toy / new).parent.mkdir(parents=True, exist_ok=True)
    git(toy, "mv", "--force", old, new)


def replaced(toy: Path, folder: str, content: str | Path) -> None:
    """A folder becomes a file, or a link."""
    git(toy, "rm", "-r", "--quiet", folder)
    write(toy / folder, content)


CASES: dict[str, tuple[Files, Files, Callable[[Path], object], str, dict[str, str]]] = {
    "a file moved to where the template brings a folder": (
        {"guide": text("guide")},
        {"guide": better("guide"), "docs/index.md": text("index")},
        lambda toy: moved(toy, "guide", "docs"),
        f"1 changed, 1 added, 1 deleted, 1 in conflict; staged, not committed\n{MOVED}",
        {"docs/index.md": text("index"), "docs~yours": better("guide")},
    ),
    "a folder moved to where the template brings a file": (
        {"guide/x.md": text("x"), "guide/y.md": text("y")},
        {"guide/x.md": better("x"), "docs/index.md": text("index")},
        lambda toy: moved(toy, "guide", "docs"),
        "2 changed, 1 added; staged, not committed\n",
        {"docs/index.md": text("index"), "docs/x.md": better("x"), "docs/y.md": text("y")},
    ),
    "a folder replaced by a file": (
        {"pkg/mod.py": text("mod"), "a": "1\n"},
        {"pkg/mod.py": better("mod"), "a": "2\n"},
        lambda toy: replaced(toy, "pkg", "mine\n"),
        "2 changed; staged, not committed\n  left out  pkg/mod.py: you deleted it\n",
        {"a": "2\n", "pkg": "mine\n"},
    ),
    "a folder replaced by a file, beside which there is one of git's name for it": (
        {"pkg/mod.py": text("mod"), "pkg~yours": text("own")},
        {"pkg/mod.py": better("mod")},
        lambda toy: replaced(toy, "pkg", "mine\n"),
        "1 changed; staged, not committed\n  left out  pkg/mod.py: you deleted it\n",
        {"pkg": "mine\n", "pkg~yours": text("own")},
    ),
    "a folder replaced by a file into which the template brings one": (
        {"pkg/mod.py": text("mod"), "a": "1\n"},
        {"pkg/mod.py": better("mod"), "pkg/new.py": text("new")},
        lambda toy: replaced(toy, "pkg", "mine\n"),
        "1 changed, 1 added, 1 deleted, 1 in conflict; staged, not committed\n"
        "  left out  pkg/mod.py: you deleted it\n"
        "  conflict  pkg~yours: a file here, a folder there\n",
        {"a": "1\n", "pkg/new.py": text("new"), "pkg~yours": "mine\n"},
    ),
    "a file moved to where a folder was": (
        {"pkg/a.py": text("a"), "b.py": text("b")},
        {"pkg/a.py": better("a"), "b.py": better("b")},
        lambda toy: (git(toy, "rm", "-r", "--quiet", "pkg"), moved(toy, "b.py", "pkg")),
        "2 changed; staged, not committed\n  left out  pkg/a.py: you deleted it\n",
        {"pkg": better("b")},
    ),
    "a file moved onto an existing path": (
        {"a.py": text("a"), "b.py": text("b")},
        {"a.py": better("a")},
        lambda toy: moved(toy, "a.py", "b.py"),
        "1 changed; staged, not committed\n  left out  a.py: you deleted it\n",
        {"b.py": text("a")},
    ),
    "a deleted file that the template renamed and changed": (
        {"a.py": text("a"), "b.py": text("b")},
        {"a.py": None, "new.py": better("a")},
        lambda toy: git(toy, "rm", "--quiet", "a.py"),
        "1 changed; staged, not committed\n  left out  new.py: you deleted a.py\n",
        {"b.py": text("b")},
    ),
    "a deleted file that the template only renamed": (
        {"a.py": text("a"), "b.py": text("b")},
        {"a.py": None, "new.py": text("a")},
        lambda toy: git(toy, "rm", "--quiet", "a.py"),
        "1 changed; staged, not committed\n",
        {"b.py": text("b")},
    ),
    "a file in the place of which the template put another": (
        {"a.py": text("a"), "b.py": text("b")},
        {"a.py": None, "b.py": better("a")},
        lambda toy: git(toy, "rm", "--quiet", "b.py"),
        "1 changed, 1 deleted; staged, not committed\n  left out  b.py: you deleted it\n",
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_the_template_brings_is_there_or_is_named(
    name: str, toys: Toys, tmp_path: Path
) -> None:
    first, second, work, told, expected = CASES[name]
    template = template_of(tmp_path / "template", {"v1.0.0": first, "v2.0.0": second})
    toy = toys.make(tmp_path / "toy", template=template)
    work(toy)
    commit(toy)
    done = cli("update", toy)
    ways_out = WAYS_OUT.format(toy=toy) if done.exit_code == 3 else ""
    assert done.stdout == f"{toy}: v1.0.0 to v2.0.0: {told}{ways_out}"
    assert (done.exit_code, done.stderr) == (3 if "conflict" in told else 0, "")
    files = {path: content.decode() for path, (_, content) in files_of(toy).items()}
    kept = {path: one for path, one in files.items() if one != "folder"}
    del kept[".copier-answers.yml"]
    assert kept == expected


def test_what_is_left_out_is_in_the_document_with_its_reason(toys: Toys, tmp_path: Path) -> None:
    changes = {
        "v1.0.0": {".gitignore": "/.env\n", "a.py": text("a")},
        "v2.0.0": {".env": "KEY=\n", "a.py": better("a")},
    }
    toy = toys.make(tmp_path / "toy", template=template_of(tmp_path / "template", changes))
    git(toy, "rm", "--quiet", "a.py")
    commit(toy)
    for option in ("--dry-run", "--branch=next", "--commit"):
        done = cli("update", toy, option, "--json")
        assert (done.exit_code, done.stderr) == (0, "")
        assert json.loads(done.stdout)[0]["left_out"] == {
            ".env": "git ignores it here",
            "a.py": "you deleted it",
        }
