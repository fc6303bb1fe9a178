"""What the project records of a run, and its registry."""

from pathlib import Path

import pytest
from toy_project.config import OptimizerConfig
from toy_project.tracking.base import (
    create_tracker,
    run_name,
)
from toy_project.tracking.registry import create_registry

from .conftest import make_config


@pytest.fixture
def bundle_of(tmp_path):
    """`bundle_of("1")`: a folder with one file that holds this."""

    def folder_of(text: str) -> Path:
        (tmp_path / text / "nested").mkdir(parents=True)
        (tmp_path / text / "nested" / "weights").write_text(text, "utf-8")
        return tmp_path / text

    return folder_of


def tags_of(text: str) -> dict[str, str]:
    """Return tags that identify a bundle."""
    return {"bundle_version": text, "bundle_sha256": text * 64}


def test_a_run_is_recorded_and_resumes(tracking, bundle_of):
    with create_tracker(tracking).start("first") as tracker:
        tracker.log_config(make_config(), tags={"git_commit": "abc"})
        tracker.log_metrics({"loss": 2.0, "accuracy": 0.5}, step=1)
        tracker.log_folder(bundle_of("1"), "model")
    with create_tracker(tracking).start("second", run_id=tracker.run_id) as again:
        again.log_metrics({"loss": 1.0}, step=2)
    with create_tracker(tracking).start("third") as other:
        pass
    assert again.run_id == tracker.run_id != other.run_id
    if tracking.name == "mlflow":
        from mlflow import MlflowClient

        run = MlflowClient().get_run(str(tracker.run_id))
        assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
        assert run.data.metrics == {"loss": 1.0, "accuracy": 0.5}
        assert run.data.tags["git_commit"] == "abc"
    else:
        recordings = [path.stem for path in Path("wandb").glob("offline-run-*/*.wandb")]
        assert sorted(recordings) == sorted([f"run-{tracker.run_id}"] * 2 + [f"run-{other.run_id}"])


def test_a_run_is_named_after_its_settings_and_its_digits_differ():
    config = make_config(model={"name": "mlp"}, optimizer=OptimizerConfig(learning_rate=0.02))
    names = {run_name(config) for _ in range(8)}
    assert len(names) > 1
    assert {name.rpartition("-")[0] for name in names} == {"mlp-lr0.02"}


def test_versions_and_the_champion(tracking, bundle_of):
    registry = create_registry(tracking)
    assert registry.champion("model") is None
    with create_tracker(tracking).start("first") as run:
        bundle = bundle_of("1")
        first = registry.register("model", bundle, run=run, description="", tags=tags_of("1"))
        assert registry.champion("model") is None
        registry.promote(first, run=run)
        same = registry.register("model", bundle, run=run, description="", tags=tags_of("1"))
    with create_tracker(tracking).start("second") as run:
        other = registry.register(
            "model", bundle_of("2"), run=run, description="", tags=tags_of("2")
        )
        assert same == registry.champion("model") == first != other
        folder = Path("champion/version")
        folder.mkdir(parents=True)
        (folder / "stale").touch()
        for model, text in ((first, "1"), (other, "2")):
            assert registry.download(model, folder) == folder
            files = [file for file in folder.rglob("*") if file.is_file()]
            assert files == [folder / "nested" / "weights"]
            assert files[0].read_text("utf-8") == text
        registry.promote(other, run=run)
    assert registry.champion("model") == other


def test_two_bundles_of_one_run_are_kept_apart(tracking, bundle_of):
    registry, bundles = create_registry(tracking), {text: bundle_of(text) for text in ("1", "2")}
    (bundles["1"] / "first").touch()
    models, run_id = {}, None
    for text, bundle in bundles.items():
        with create_tracker(tracking).start("a run", run_id=run_id) as run:
            run_id = run.run_id
            run.log_bundle(bundle, tags_of(text)["bundle_sha256"])
            models[text] = registry.register(
                "model", bundle, run=run, description="", tags=tags_of(text)
            )
    for text, bundle in bundles.items():
        folder = registry.download(models[text], Path("copy"))
        names = {file.relative_to(folder) for file in folder.rglob("*")}
        assert names == {file.relative_to(bundle) for file in bundle.rglob("*")}
        assert (folder / "nested" / "weights").read_text("utf-8") == text
