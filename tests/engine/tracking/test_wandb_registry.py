"""The registry beside offline runs."""

import shutil
from pathlib import Path

import pytest
from toy_project.tracking.base import TrackingError, create_tracker
from toy_project.tracking.registry import create_registry

REGISTRY = Path("wandb/registry/name")


@pytest.fixture
def register(tracking, tmp_path):
    """`register("x")`: register a bundle with this version, and return the model's version."""
    (tmp_path / "bundle").mkdir()
    registry = create_registry(tracking)
    with create_tracker(tracking).start("a run") as run:
        yield (
            lambda bundle_version: (
                registry.register(
                    "name",
                    tmp_path / "bundle",
                    run=run,
                    description="",
                    tags={"bundle_version": bundle_version},
                ).version
            )
        )


def test_a_version_is_whole_or_not_there(register, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", broken)
        with pytest.raises(TrackingError, match="the disk is full"):
            register("x")
    assert list(REGISTRY.iterdir()) == []
    assert register("x") == "v0"


def test_a_version_that_was_deleted_gives_no_name_twice(register):
    assert [register("a"), register("b"), register("a")] == ["v0", "v1", "v0"]
    shutil.rmtree(REGISTRY / "v0")
    assert register("c") == "v2"
    assert register("b") == "v1"
