"""Renders that are kept for later commands: when they are used, and what is never kept."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from templates import ROOT, commit, commit_template, copy_checkout, git
from toys import cli, staged_tree

from mlscaffold.new import new

SECRET = "xyzzy-0451"
MIB = 2**20


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the renders, not there yet."""
    monkeypatch.setenv("MLSCAFFOLD_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "renders"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return this repository, with two releases."""
    folder = copy_checkout(tmp_path_factory.mktemp("checkout") / "mlscaffold")
    git(folder, "tag", "v0.1.0")
    change(folder)
    commit(folder, tag="v0.2.0")
    return folder


@pytest.fixture(scope="module")
def of_bundled(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the first release."""
    project = tmp_path_factory.mktemp("project") / "toy"
    has_rendered(checkout, "new", project, "--ref=v0.1.0", "--no-lock", "--defaults")
    return project


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A project of another template, which has a second release."""
    return project_of(released(tmp_path / "template"), tmp_path / "toy")


def change(checkout: Path) -> None:
    with (checkout / "template" / "Makefile.jinja").open("a") as makefile:
        makefile.write("\n# Changed.\n")


def released(folder: Path, *, questions: str = "", files: Mapping[str, str] | None = None) -> Path:
    """A template with two releases."""
    commit_template(folder, files=files)
    with (folder / "copier.yml").open("a") as copier_yml:
        copier_yml.write(questions)
    commit(folder, tag="v1.0.0")
    (folder / "template" / "more.txt").write_text("more\n")
    commit(folder, tag="v2.0.0")
    return folder


def project_of(template: Path, at: Path, *, ref: str = "v1.0.0", **options: object) -> Path:
    options = {"given": {}, "with_lock": False, **options}
    new(str(at), template=str(template), ref=ref, **options)  # ty: ignore[invalid-argument-type]
    return at


def has_rendered(checkout: Path, *arguments: str | Path) -> bool:
    """Run the checkout's mlscaffold; return whether it had to load copier, which renders."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mlscaffold", *arguments],
        env=os.environ | {"PYTHONPATH": str(checkout / "src")},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return any(line.endswith(" copier._main") for line in done.stderr.splitlines())


def twins(project: Path, folder: Path) -> Iterator[Path]:
    """Yield copies of a project."""
    number = 0
    while True:
        number += 1
        yield shutil.copytree(project, folder / f"twin-{number}", symlinks=True)


def used(cache: Path) -> set[str]:
    """Forget when entries were used; return those that were since this was called last."""
    found = {entry for entry in cache.iterdir() if entry.stat().st_mtime > 1}
    for entry in cache.iterdir():
        os.utime(entry, (1, 1))
    return {entry.name for entry in found}


def updated(project: Path) -> str:
    """Update a project; return the tree that it has then."""
    done = cli("update", project)
    assert done.exit_code == 0, done.stderr
    return staged_tree(project)


def test_a_twin_costs_no_render(
    checkout: Path, of_bundled: Path, tmp_path: Path, cache: Path
) -> None:
    first, second, *_ = (twin for twin, _ in zip(twins(of_bundled, tmp_path), "12", strict=False))
    assert has_rendered(checkout, "update", first)
    assert not has_rendered(checkout, "update", second)
    assert staged_tree(first) == staged_tree(second) != staged_tree(of_bundled)
    assert not has_rendered(checkout, "diff", second)
    # Another answer is another render; the old one is known, and that its answers are valid.
    kept = used(cache)
    commit(second)
    assert has_rendered(checkout, "set", "license=bsd-3-clause", f"--project={second}")
    assert len(used(cache) & kept) == 2


def test_changes_that_are_not_committed_are_not_kept(
    checkout: Path, of_bundled: Path, tmp_path: Path, cache: Path
) -> None:
    dirty = shutil.copytree(checkout, tmp_path / "dirty", symlinks=True)
    twin = next(twins(of_bundled, tmp_path))
    change(dirty)
    for _ in "12":
        assert has_rendered(dirty, "update", "--dry-run", twin)
    # The release before is as it was tagged: its render, and the answers that it takes.
    assert len(list(cache.iterdir())) == 2
    assert (git(dirty, "describe", "--tags"), git(dirty, "status", "--short")) == (
        "v0.2.0",
        "M template/Makefile.jinja",
    )


def test_another_tag_of_a_commit_is_another_release(toy: Path, tmp_path: Path, cache: Path) -> None:
    template = tmp_path / "template"
    twin, last = (shutil.copytree(toy, tmp_path / name) for name in ("twin", "last"))
    git(template, "tag", "--annotate", "--message=x", "v2.0.1", "v2.0.0")
    assert cli("update", twin, "--to=v2.0.0").exit_code == 0
    git(template, "tag", "--delete", "v2.0.1")
    updated(last)
    assert "_commit: v2.0.0\n" in (last / ".copier-answers.yml").read_text()


def test_a_commit_without_a_tag_is_not_kept(tmp_path: Path, cache: Path) -> None:
    template = commit_template(tmp_path / "template")
    toy = project_of(template, tmp_path / "toy", ref="main")
    assert cli("diff", toy).stdout == ""
    assert not cache.exists()


def test_another_templates_renders_are_used_again(toy: Path, tmp_path: Path, cache: Path) -> None:
    copies = twins(toy, tmp_path)
    tree = updated(next(copies))
    kept = used(cache)
    assert len(kept) == 2
    assert updated(next(copies)) == tree
    assert used(cache) == kept
    assert cache.stat().st_mode & 0o777 == 0o700
    assert {entry.stat().st_mode & 0o777 for entry in cache.iterdir()} == {0o600}


@pytest.mark.parametrize("damage", ["torn", "empty", "changed", "renamed", "link", "folder"])
def test_a_damaged_entry_is_not_used(damage: str, toy: Path, tmp_path: Path, cache: Path) -> None:
    copies = twins(toy, tmp_path)
    tree = updated(next(copies))
    entries = sorted(cache.iterdir())
    before = [entry.read_bytes() for entry in entries]
    for entry, content, other in zip(entries, before, reversed(before), strict=True):
        entry.unlink()
        if damage == "link":
            (tmp_path / entry.name).write_bytes(content)
            entry.symlink_to(tmp_path / entry.name)
        elif damage == "folder":
            entry.mkdir()
        else:
            middle = len(content) // 2
            changed = content[:middle] + b"x" + content[middle + 1 :]
            torn = {"torn": content[:-9], "empty": b"", "changed": changed, "renamed": other}
            entry.write_bytes(torn[damage])
    assert updated(next(copies)) == tree
    if damage != "folder":
        assert not any(entry.is_symlink() for entry in entries)
        assert [entry.read_bytes() for entry in entries] == before


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_what_others_can_write_is_not_used(
    mode: int, toy: Path, tmp_path: Path, cache: Path
) -> None:
    copies = twins(toy, tmp_path)
    tree = updated(next(copies))
    used(cache)
    cache.chmod(mode)
    assert updated(next(copies)) == tree
    assert used(cache) == set()
    cache.chmod(0o700)
    entries = sorted(cache.iterdir())
    entries[0].chmod(mode)
    assert updated(next(copies)) == tree
    assert [entry.stat().st_mode & 0o777 for entry in entries] == [0o600, 0o600]


def test_a_cache_that_cannot_be_written_is_no_error(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = twins(toy, tmp_path)
    (tmp_path / "file").write_text("no folder\n")
    trees = set()
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        monkeypatch.setenv("MLSCAFFOLD_CACHE_DIR", str(place))
        trees.add(updated(next(copies)))
    assert len(trees) == 1
    assert (tmp_path / "file").read_text() == "no folder\n"


def test_two_at_once_are_as_one_after_the_other(toy: Path, tmp_path: Path, cache: Path) -> None:
    copies = twins(toy, tmp_path)
    together = [next(copies) for _ in "123"]
    running = [
        subprocess.Popen([sys.executable, "-m", "mlscaffold", "update", twin], cwd=ROOT)
        for twin in together
    ]
    assert [process.wait(100) for process in running] == [0, 0, 0]
    assert {staged_tree(twin) for twin in together} == {updated(next(copies))}
    assert len(list(cache.iterdir())) == 2


def test_a_secret_answer_is_not_kept(tmp_path: Path, cache: Path) -> None:
    question = f"token: {{type: str, secret: true, default: {SECRET}, when: false}}\n"
    template = released(
        tmp_path / "t", questions=question, files={"token.txt.jinja": "{{ token }}\n"}
    )
    toy = project_of(template, tmp_path / "toy")
    assert (toy / "token.txt").read_text() == f"{SECRET}\n"
    updated(toy)
    assert not cache.exists()


@pytest.mark.parametrize(
    "files",
    [
        {"a.txt.jinja": "{{ [1, 2] | random }}"},
        {"a.txt.jinja": "{{ '%Y' | strftime }}"},
        {"a.txt.jinja": "{{ make_secret() }}"},
        {"a.txt.jinja": "{{ _folder_name }}"},
        {"a.txt.jinja": "{{ _copier_conf.src_path }}"},
        {"a.txt.jinja": "{{ _copier_conf | string }}"},
        {"{{ _folder_name }}.txt": "the name of a file can be an expression too"},
    ],
    ids=str,
)
def test_what_may_be_another_one_the_next_time_is_not_kept(
    files: dict[str, str], tmp_path: Path, cache: Path
) -> None:
    toy = project_of(released(tmp_path / "t", files=files), tmp_path / "toy")
    assert cli("diff", toy).exit_code == 0
    assert not cache.exists()


def test_what_runs_code_is_not_kept(tmp_path: Path, cache: Path) -> None:
    template = released(tmp_path / "t", questions="_tasks: ['true']\n")
    toy = project_of(template, tmp_path / "toy", trust=True)
    assert cli("update", "--trust", toy).exit_code == 0
    assert not cache.exists()


def test_what_was_used_longest_ago_makes_room(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "".join(f"{number:x}" for number in range(200_000))
    template = released(tmp_path / "t", files={"lines.txt": lines})
    toys = [project_of(template, tmp_path / name, given={"project_name": name}) for name in "abcd"]
    monkeypatch.setenv("MLSCAFFOLD_CACHE_MIB", "1")
    for toy in toys:
        assert cli("diff", toy).exit_code == 0
        used(cache) if toy.name == "a" else None
    sizes = [entry.stat().st_size for entry in cache.iterdir()]
    assert MIB / 2 < sum(sizes) < MIB
    kept = {entry.name for entry in cache.iterdir()}
    assert cli("diff", toys[-1]).exit_code == 0
    assert {entry.name for entry in cache.iterdir()} == kept
    cli("diff", toys[0])
    assert len({entry.name for entry in cache.iterdir()} - kept) == 1


def test_a_size_of_zero_turns_it_off(
    toy: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLSCAFFOLD_CACHE_MIB", "0")
    updated(toy)
    assert not cache.exists()
    monkeypatch.setenv("MLSCAFFOLD_CACHE_MIB", "a lot")
    done = cli("diff", toy)
    assert (done.exit_code, done.stderr) == (
        2,
        "error: MLSCAFFOLD_CACHE_MIB must be a whole number of MiB, got 'a lot'\n",
    )


def test_a_user_without_a_home_has_no_cache(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLSCAFFOLD_CACHE_DIR")
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    # As for the number of a user that a container makes up.
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    monkeypatch.chdir(toy)
    updated(toy)
    assert not (toy / "~").exists()


def test_its_folder_may_begin_with_the_home_of_the_user(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLSCAFFOLD_CACHE_DIR", "~/kept")
    monkeypatch.chdir(toy)
    updated(toy)
    assert len(list((tmp_path / "home" / "kept" / "renders").iterdir())) == 2
    assert not (toy / "~").exists()


def test_it_is_where_the_user_keeps_caches(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLSCAFFOLD_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    updated(toy)
    assert len(list((tmp_path / "xdg" / "mlscaffold" / "renders").iterdir())) == 2
