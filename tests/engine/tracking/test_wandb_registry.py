import shutil
from pathlib import Path

import pytest
from toy_project.tracking.wandb.local_registry import (
    LocalRegistry,
    filled,
)


@pytest.fixture
def registry(tmp_path) -> LocalRegistry:
    return LocalRegistry(tmp_path / "registry")


def test_a_version_is_whole_or_not_there(registry, tmp_path):
    with pytest.raises(FileNotFoundError):
        registry.add("model", tmp_path / "no bundle", {"bundle_version": "x"})
    assert list((registry.folder / "model").iterdir()) == []


def test_a_folder_is_not_there_before_it_is_filled(tmp_path):
    with filled(tmp_path / "folder") as new:
        (new / "file").touch()
        assert not (tmp_path / "folder").exists()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        "folder",
        "folder/file",
    ]


def test_two_who_add_at_once_lose_nothing(registry, tmp_path, monkeypatch):
    """The second finds the name taken that was free when it looked."""
    (tmp_path / "bundle").mkdir()
    copy = shutil.copytree

    def copy_meanwhile(source: Path, target: Path) -> None:
        monkeypatch.undo()
        registry.add("model", source, {"bundle_version": "first"})
        copy(source, target)

    monkeypatch.setattr(shutil, "copytree", copy_meanwhile)
    with pytest.raises(OSError, match="not empty"):
        registry.add("model", tmp_path / "bundle", {"bundle_version": "second"})
    again = registry.add("model", tmp_path / "bundle", {"bundle_version": "second"})
    assert again.version == "v1"


def test_a_version_that_was_deleted_gives_no_name_twice(registry, tmp_path):
    (tmp_path / "bundle").mkdir()
    for version in ("a", "b"):
        registry.add("model", tmp_path / "bundle", {"bundle_version": version})
    shutil.rmtree(registry.folder / "model" / "v0")
    assert registry.add("model", tmp_path / "bundle", {"bundle_version": "c"}).version == "v2"
    assert registry.add("model", tmp_path / "bundle", {"bundle_version": "b"}).version == "v1"
