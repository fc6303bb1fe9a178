"""Projects in a folder of a larger repository."""

import json
from pathlib import Path

import pytest
from templates import commit, commit_template, git
from toys import Toys, cli, edit, status


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository that ignores its folder scratch."""
    folder = tmp_path / "top"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / ".gitignore").write_text("/scratch/\n")
    commit(folder)
    return folder


def test_new_makes_no_repository_inside_another(top: Path, tmp_path: Path) -> None:
    template = commit_template(tmp_path / "template", tag="v1.0.0")
    new = ("new", top / "models" / "toy", "--template", template, "--no-lock")
    head = git(top, "rev-parse", "HEAD")
    assert json.loads(cli(*new, "--dry-run", "--json").stdout)["repository"] == str(top)
    done = cli(*new)
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"No repository of its own: {top} is one. Commit the files there.\n" in done.stdout
    assert not (top / "models" / "toy" / ".git").exists()
    assert (git(top, "rev-parse", "HEAD"), status(top)) == (head, ["?? models/"])


@pytest.mark.parametrize("place", ["top/scratch/toy", "toy"])
def test_new_makes_a_repository_where_none_keeps_the_files(
    place: str, top: Path, tmp_path: Path
) -> None:
    template = commit_template(tmp_path / "template", tag="v1.0.0")
    made = cli("new", tmp_path / place, "--template", template, "--no-lock", "--json")
    assert json.loads(made.stdout)["repository"] == ""
    assert git(tmp_path / place, "rev-parse", "--show-prefix") == ""
    assert git(tmp_path / place, "status", "--porcelain") == ""


def test_a_project_inside_a_repository_is_updated_there(top: Path, toys: Toys) -> None:
    toy = top / "models" / "toy"
    new = ("new", toy, "--template", toys.template, "--ref", "v1.0.0", "--no-lock")
    assert cli(*new).exit_code == 0
    edit(toy / "src" / "main.py", ("main line 20\n", "my own line\n"))
    (top / "README.md").write_text("# Of all\n")
    commit(top)
    (top / "README.md").write_text("# Not committed\n")
    done = cli("update", toy)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "my own line\n" in (toy / "src" / "main.py").read_text()
    assert "main again 31\n" in (toy / "src" / "main.py").read_text()
    assert (top / "README.md").read_text() == "# Not committed\n"
    assert " M README.md" in status(top)
