"""What updates do to single files: followed when they are renamed, and kept as they are."""

from pathlib import Path

import pytest
from evolving import template_of
from templates import commit, git
from toys import Toys, cli, edit, files_of, status

from mlscaffold.update import abort

TEN = "".join(f"line {number}\n" for number in range(10))


@pytest.fixture
def toy(toys: Toys, tmp_path: Path) -> Path:
    """A project of the first release."""
    return toys.make(tmp_path / "toy")


def moved(project: Path, old: str, new: str) -> None:
    (project / new).parent.mkdir(parents=True, exist_ok=True)
    git(project, "mv", old, new)


def test_a_file_that_the_user_renamed_gets_the_changes(toys: Toys, toy: Path) -> None:
    moved(toy, "src/main.py", "app/start.py")
    edit(toy / "app" / "start.py", ("main line 20\n", "mine 20\n"))
    commit(toy)
    assert toys.update(toy).conflicts == {}
    text = (toy / "app" / "start.py").read_text()
    assert "mine 20\n" in text and "main again 5\n" in text
    assert not (toy / "src" / "main.py").exists()


def test_a_file_that_the_template_renamed_keeps_the_edits(toys: Toys, toy: Path) -> None:
    edit(toy / "src" / "tools.py", ("tools line 20\n", "mine 20\n"))
    edit(toy / "docs" / "two.md", ("two line 20\n", "mine 20\n"))
    commit(toy)
    assert toys.update(toy).conflicts == {}
    tools = (toy / "src" / "toolbox.py").read_text()
    assert "mine 20\n" in tools and "tools improved\n" in tools and "tools end\n" in tools
    two = (toy / "guide" / "two.md").read_text()
    assert "mine 20\n" in two and "two improved\n" in two
    assert not (toy / "src" / "tools.py").exists() and not (toy / "docs").exists()


def test_a_users_file_goes_along_with_a_folder_that_the_template_moved(
    toys: Toys, toy: Path
) -> None:
    (toy / "docs" / "mine.md").write_text("mine\n")
    commit(toy)
    done = toys.update(toy)
    assert done.conflicts == {}
    assert (toy / "guide" / "mine.md").read_text() == "mine\n"
    assert not (toy / "docs").exists()


def test_an_untracked_file_stays_where_the_folder_was(toys: Toys, toy: Path) -> None:
    (toy / "docs" / "mine.md").write_text("mine\n")
    toys.update(toy)
    assert (toy / "docs" / "mine.md").read_text() == "mine\n"
    assert (toy / "guide" / "one.md").exists()
    assert "?? docs/" in status(toy)


def test_a_templates_file_goes_along_with_a_folder_that_the_user_moved(
    toys: Toys, tmp_path: Path
) -> None:
    one, two = {"lib/a.py": TEN, "lib/b.py": TEN.upper()}, {"lib/c.py": "new\n"}
    template = template_of(tmp_path / "template", {"v1.0.0": one, "v2.0.0": two})
    toy = toys.make(tmp_path / "toy", template=template)
    moved(toy, "lib", "package/lib")
    commit(toy)
    assert toys.update(toy).conflicts == {}
    assert (toy / "package" / "lib" / "c.py").read_text() == "new\n"
    assert not (toy / "lib").exists()


@pytest.mark.parametrize(
    "path", ["src/main.py", "src/tools.py", "src/legacy.py", "docs/two.md", "logo.bin", "run.sh",
             "latest", "umläut ß.txt"]
)  # fmt: skip
def test_a_file_that_the_user_deleted_stays_deleted(path: str, toys: Toys, toy: Path) -> None:
    git(toy, "rm", "--quiet", path)
    commit(toy)
    done = toys.update(toy)
    assert done.conflicts == {}
    fresh = toys.make(toy.parent / "fresh", release="v3.0.0")
    renamed = {"src/tools.py": "src/toolbox.py", "docs/two.md": "guide/two.md", "run.sh": "bin/run"}
    (fresh / renamed.get(path, path)).unlink(missing_ok=True)
    assert {k: v for k, v in files_of(toy).items() if v[1] != b"folder"} == {
        k: v for k, v in files_of(fresh).items() if v[1] != b"folder"
    }


NAMES = ["a b.txt", "-leading", "ünï\u0308.txt", 'quo"te\'s', "li\nne", "tab\tbed", ":(top)x",
         "back\\slash", "*glob[x]?", "#hash", "dir with/sp ace", "trailing "]  # fmt: skip


def test_odd_names_are_names(toys: Toys, tmp_path: Path) -> None:
    changes = {
        "v1.0.0": {name: TEN for name in NAMES},
        "v2.0.0": {name: f"{TEN}theirs\n" for name in NAMES} | {f"{NAMES[3]} new": "new\n"},
        "v3.0.0": dict.fromkeys(NAMES),
    }
    template = template_of(tmp_path / "template", changes)
    toy = toys.make(tmp_path / "toy", template=template)
    for name in NAMES:
        (toy / name).write_text(f"mine\n{TEN}")
    (toy / ":(top)own").write_text("untracked\n")
    git(toy, "commit", "--quiet", "--all", "--message=Edit")
    before = files_of(toy)
    done = toys.update(toy, to="v2.0.0")
    assert done.conflicts == {}
    assert {(toy / name).read_text() for name in NAMES} == {f"mine\n{TEN}theirs\n"}
    git(toy, "commit", "--quiet", "--message=Update")
    done = toys.update(toy)
    assert set(done.conflicts) == set(NAMES)
    shown = cli("update", toy)
    assert shown.exit_code == 1
    abort(toy)
    git(toy, "reset", "--quiet", "--hard", "HEAD~1")
    assert files_of(toy) == before


def test_a_name_that_breaks_the_line_is_shown_in_one(toys: Toys, tmp_path: Path) -> None:
    changes = {"v1.0.0": {"li\nne": "1\n"}, "v2.0.0": {"li\nne": "2\n"}}
    toy = toys.make(tmp_path / "toy", template=template_of(tmp_path / "template", changes))
    (toy / "li\nne").write_text("mine\n")
    commit(toy)
    assert "  conflict  'li\\nne': both changed it\n" in cli("update", toy).stdout
    assert cli("update", "--continue", toy).stderr == (
        "error: conflict markers are left in 'li\\nne'\n"
    )


def test_modes_links_and_empty_files_come_through(toys: Toys, tmp_path: Path) -> None:
    changes = {
        "v1.0.0": {
            "a.sh": "#!/bin/sh\n" + TEN,
            "plain": TEN,
            "link": Path("one"),
            "kept-link": Path("one"),
            "empty": "",
            "filled": "",
            "was-file": TEN,
        },
        "v2.0.0": {
            "a.sh": "#!/bin/sh\nset -e\n" + TEN,
            "plain": TEN + "theirs\n",
            "link": Path("two"),
            "empty-too": "",
            "filled": "theirs\n",
            "was-file": None,
            "was-file/inside": "now a folder\n",
            "bin/new": "#!/bin/sh\n",
        },
        "v3.0.0": {"was-file/inside": None, "was-file": TEN, "bin/new": None},
    }
    template = template_of(tmp_path / "template", changes)
    (template / "template" / "was-file").exists()
    toy = toys.make(tmp_path / "toy", template=template)
    (toy / "plain").chmod(0o755)
    (toy / "a.sh").chmod(0o644)
    (toy / "kept-link").unlink()
    (toy / "kept-link").symlink_to("mine")
    (toy / "own").symlink_to("nowhere")
    commit(toy)
    assert toys.update(toy, to="v2.0.0").conflicts == {}
    assert (toy / "plain").stat().st_mode & 0o777 == 0o755
    assert (toy / "plain").read_text() == TEN + "theirs\n"
    assert (toy / "a.sh").stat().st_mode & 0o111 == 0
    assert (toy / "a.sh").read_text() == "#!/bin/sh\nset -e\n" + TEN
    assert (toy / "bin" / "new").stat().st_mode & 0o111
    links = ("link", "kept-link", "own")
    assert [str((toy / name).readlink()) for name in links] == ["two", "mine", "nowhere"]
    assert (toy / "empty").read_bytes() == (toy / "empty-too").read_bytes() == b""
    assert (toy / "filled").read_text() == "theirs\n"
    assert (toy / "was-file" / "inside").read_text() == "now a folder\n"
    assert git(toy, "diff", "--stat") == ""
    commit(toy)
    assert toys.update(toy).conflicts == {}
    assert (toy / "was-file").read_text() == TEN
    assert not (toy / "bin").exists()
    assert git(toy, "diff", "--stat") == ""


def test_a_file_that_the_user_turned_to_crlf_keeps_that(toys: Toys, toy: Path) -> None:
    main = toy / "src" / "main.py"
    edit(main, ("main line 20\n", "mine 20\n"))
    main.write_bytes(main.read_bytes().replace(b"\n", b"\r\n"))
    commit(toy)
    assert toys.update(toy).conflicts == {}
    lines = main.read_bytes().split(b"\r\n")
    assert (lines[5], lines[20], lines[31]) == (b"main again 5", b"mine 20", b"main again 31")
    assert main.read_bytes().count(b"\n") == main.read_bytes().count(b"\r\n") == 40
