"""What stages write appears whole, under the mode that the umask asks for."""

import errno
import os
import stat
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from miniature import make_rows
from toy_project import preprocess
from toy_project.artifacts import PROCESSED, RAW, new_file, new_folder
from toy_project.data import spec
from toy_project.data.preprocessing import Processed
from toy_project.data.rows import write_rows
from toy_project.models.bundle import Bundle

from .commands import run


@pytest.fixture(params=["linux", "elsewhere"])
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file, on a system that exchanges folders in one step, and on another."""
    if request.param == "elsewhere":
        monkeypatch.setattr(sys, "platform", request.param)
    folder = tmp_path / "artifacts" / "old"
    folder.mkdir(parents=True)
    (folder / "a").write_text("old")
    return folder


@pytest.fixture
def umask() -> Generator[None]:
    """Group may read, others nothing."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def content(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_folder_is_replaced_as_a_whole(old: Path) -> None:
    with new_folder(old) as new:
        (new / "b").write_text("new")
        assert content(old) == {"a": "old"}
    assert content(old) == {"b": "new"}
    assert [path.name for path in old.parent.iterdir()] == ["old"]


def test_others_files_stay_where_they_are_to_be_kept(old: Path) -> None:
    (old / "mine" / "deep").mkdir(parents=True)
    (old / "mine" / "deep" / "notes").write_text("mine")
    (old / "link").symlink_to("nowhere")
    with new_folder(old, keep_others=True) as new:
        (new / "a").write_text("new")
    assert content(old) == {"a": "new", "mine/deep/notes": "mine"}
    assert (old / "link").readlink() == Path("nowhere")


def test_an_error_leaves_the_old_one_and_nothing_else(old: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(old) as new:
        (new / "a").write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), new_file(old / "a") as new:
        new.write_text("half")
        raise RuntimeError
    assert content(old.parent) == {"old/a": "old"}
    assert [path.name for path in old.parent.iterdir()] == ["old"]


def test_what_a_killed_process_left_is_cleared(old: Path) -> None:
    for name in (".old.new", ".old.old"):
        (old.parent / name).mkdir()
        (old.parent / name / "half").write_text("half")
    with new_folder(old) as new:
        (new / "a").write_text("new")
    assert content(old) == {"a": "new"}
    assert not (old.parent / ".old.new").exists()


def test_a_link_to_a_folder_stays_a_link(old: Path) -> None:
    link = old.parent / "link"
    link.symlink_to("old")
    with new_folder(link) as new:
        (new / "a").write_text("new")
    assert link.is_symlink()
    assert content(old) == {"a": "new"}


def test_neither_kind_takes_the_place_of_the_other(old: Path) -> None:
    with pytest.raises(NotADirectoryError), new_folder(old / "a"):
        pass
    (old / "b" / "mine").mkdir(parents=True)
    with pytest.raises(IsADirectoryError), new_folder(old, keep_others=True) as new:
        (new / "b").write_text("new")
    with pytest.raises(IsADirectoryError), new_file(old / "b") as new:
        new.write_text("new")
    assert (old / "b" / "mine").is_dir()


def test_data_and_the_settings_that_made_it_are_replaced_together(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RAW.parent.mkdir(parents=True)
    write_rows(make_rows(), RAW)
    assert run(preprocess) is None
    before = {path.name: path.read_bytes() for path in PROCESSED.iterdir()}
    assert "settings.json" in before

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "settings.json")

    monkeypatch.setattr(spec, "save_settings", fail)
    assert run(preprocess, settings=["data.split_seed=1"]) == (
        "error: settings.json: No space left on device"
    )
    assert {path.name: path.read_bytes() for path in PROCESSED.iterdir()} == before


@pytest.mark.usefixtures("umask")
def test_files_have_the_mode_that_the_umask_asks_for(
    processed: Processed, bundle: Bundle, tmp_path: Path
) -> None:
    with new_folder(tmp_path / "processed") as new:
        processed.save(new)
    bundle.save(tmp_path / "bundle")
    modes = {
        path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for folder in ("processed", "bundle")
        for path in (tmp_path / folder, *(tmp_path / folder).iterdir())
    }
    assert len(modes) > 10
    assert modes == {path: 0o640 if "." in path else 0o750 for path in modes}
