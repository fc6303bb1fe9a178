"""What a user changed of what the template brought."""

from pathlib import Path

import pytest
from evolving import template_of
from templates import commit, git
from toys import Toys, cli, edit, snapshot


@pytest.fixture
def toy(toys: Toys, tmp_path: Path) -> Path:
    """A project of the first release."""
    return toys.make(tmp_path / "toy")


def test_a_diff_shows_the_users_own_changes(toys: Toys, toy: Path) -> None:
    assert cli("diff", toy).stdout == ""
    edit(toy / "src" / "main.py", ("main line 20\n", "committed\n"))
    (toy / "own.txt").write_text("of no interest\n")
    commit(toy)
    edit(toy / "src" / "tools.py", ("tools line 20\n", "not committed\n"))
    (toy / "logo.bin").write_bytes(b"\0mine")
    (toy / "src" / "legacy.py").unlink()
    (toy / "run.sh").chmod(0o644)
    before = snapshot(toy)
    done = cli("diff", toy)
    assert (done.exit_code, done.stderr) == (0, "")
    assert snapshot(toy) == before
    lines = [line for line in done.stdout.splitlines() if line[0] in "+-dBon"]
    assert lines == [
        "diff --git a/logo.bin b/logo.bin",
        "Binary files a/logo.bin and b/logo.bin differ",
        "diff --git a/run.sh b/run.sh",
        "old mode 100755",
        "new mode 100644",
        "diff --git a/src/legacy.py b/src/legacy.py",
        "deleted file mode 100644",
        "--- a/src/legacy.py",
        "+++ /dev/null",
        *(f"-legacy line {number}" for number in range(40)),
        "diff --git a/src/main.py b/src/main.py",
        "--- a/src/main.py",
        "+++ b/src/main.py",
        "-main line 20",
        "+committed",
        "diff --git a/src/tools.py b/src/tools.py",
        "--- a/src/tools.py",
        "+++ b/src/tools.py",
        "-tools line 20",
        "+not committed",
    ]


def test_a_diff_knows_hidden_ignored_and_linked_files(toys: Toys, tmp_path: Path) -> None:
    files = {"a.txt": "a\n", ".env": "KEY=\n", ".gitignore": "/.env\n", "data/keep": "keep\n"}
    toy = toys.make(tmp_path / "toy", template=template_of(tmp_path / "t", {"v1.0.0": files}))
    (toy / ".env").write_text("KEY=secret\n")
    assert cli("diff", toy).stdout == ""
    git(toy, "update-index", "--assume-unchanged", "a.txt")
    (toy / "a.txt").write_text("mine\n")
    (toy / "data").rename(tmp_path / "elsewhere")
    (toy / "data").symlink_to(tmp_path / "elsewhere")
    done = cli("diff", toy)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("diff", "del"))]
    assert lines == [
        "diff --git a/a.txt b/a.txt",
        "diff --git a/data/keep b/data/keep",
        "deleted file mode 100644",
    ]


def test_after_an_update_the_diff_is_the_users_own(toys: Toys, toy: Path) -> None:
    edit(toy / "src" / "tools.py", ("tools line 20\n", "mine\n"))
    commit(toy)
    before = cli("diff", toy).stdout
    toys.update(toy)
    after = cli("diff", toy).stdout
    assert [line for line in before.splitlines() if line[:2] in {"-t", "+m"}] == [
        "-tools line 20",
        "+mine",
    ]
    assert [line for line in after.splitlines() if line[:2] in {"-t", "+m"}] == [
        "-tools line 20",
        "+mine",
    ]
    assert "+++ b/src/toolbox.py\n" in after
