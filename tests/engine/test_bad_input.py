"""Settings, files and folders that no stage can use: one line, exit code 1, nothing is touched."""

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml
from toy_project.compose import main as compose
from toy_project.data.preprocessing import Processed
from toy_project.data.text import TextEncoder, TextEncoderConfig
from toy_project.lookup import Fitted
from toy_project.models.bundle import Bundle
from toy_project.models.embedding import TextModelConfig
from toy_project.models.transformer import TransformerConfig
from toy_project.objectives.classification import ClassificationConfig
from toy_project.rules import ConfigError, typed

from .conftest import make_config

HUGE = "1" + "0" * 400
HOSTILE = ("nan", "inf", "-inf", "1e308", "-1", HUGE, "x", "[1]", "'\"1e308\"'")
GROUPS = ("data", "model", "objective", "optimizer", "training", "launcher")
SMALL = ("tracking=none", "model=mlp", "training=smoke")

# Root may do what it likes, but for this.
AS_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.getuid() == 0 else []


def numeric_settings(config: object, prefix: str = "") -> Iterator[str]:
    for name, kind in get_type_hints(type(config)).items():
        if is_dataclass(kind):
            yield from numeric_settings(getattr(config, name), f"{name}.")
        elif kind in (int, float, int | None):
            yield prefix + name


def said(setting: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What composing says of a setting, in a line."""
    monkeypatch.setattr(sys, "argv", ["compose", setting])
    with pytest.raises(SystemExit) as ended:
        compose()
    message = str(ended.value)
    assert re.fullmatch("error: .+", message), message  # one line: a dot is no line's end
    return message


@pytest.mark.parametrize("name", list(numeric_settings(make_config())))
def test_a_number_that_makes_no_sense_is_refused(
    name: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = {"-1"} if name == "registry.threshold" else set()
    for value in (value for value in HOSTILE if value not in allowed):
        message = said(f"{name}={value}", monkeypatch)
        assert message.startswith(f"error: {name}")
    assert [path.name for path in workspace.iterdir()] == ["configs"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "optimizer.learning_rate=1e308",
            "optimizer.learning_rate must be at most 4294967295, got 1e+308",
        ),
        ("optimizer.learning_rate=nan", "optimizer.learning_rate must be > 0, got nan"),
        ("seed=4294967296", "seed must be at most 4294967295, got 4294967296"),
        ("launcher.num_threads=1025", "launcher.num_threads must be in [0, 1024], got 1025"),
        (
            f"optimizer.weight_decay={HUGE}",
            f"optimizer.weight_decay must be at most 4294967295, got {HUGE:.100}",
        ),
        ("seed=???", "seed has no value, only ???"),
    ],
)
def test_a_setting_is_refused_with_its_name_and_range(
    setting: str, message: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(setting, monkeypatch) == f"error: {message}"


@pytest.mark.parametrize(
    "kind", [TransformerConfig, TextModelConfig, TextEncoderConfig, ClassificationConfig]
)
def test_a_number_of_a_piece_that_makes_no_sense_is_refused(kind: Any) -> None:
    numbers = [name for name, of in get_type_hints(kind).items() if of in (int, float)]
    for name, value in product(numbers, map(yaml.safe_load, HOSTILE)):
        with pytest.raises(ConfigError, match=rf"^piece\.{name}|\.{name} must be "):
            typed("piece", kind, {"name": "piece", name: value})


def test_what_is_fitted_to_data_may_be_large_but_is_finite() -> None:
    @dataclass(frozen=True)
    class Scale(Fitted, section="scale"):
        mean: float

    assert Scale.from_dict(Scale(1e12).to_dict()) == Scale(1e12)
    for value in (math.nan, math.inf):
        with pytest.raises(ConfigError, match=r"scale\.mean must be at most"):
            Scale(value)


def test_a_models_setting_is_refused_before_there_is_data(workspace: Path) -> None:
    for stage, setting, message in (
        ("train", "model.hidden_size=65537", "model.hidden_size must be in [1, 65536], got 65537"),
        ("train", "+model.size=3", "model.size is not a setting; "),
    ):
        done = run(stage, setting)
        assert done.stderr.startswith(f"error: {message}")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("value", ["null", "1", "[1]", "{a: 1}", "true", "nan"])
@pytest.mark.parametrize("group", GROUPS)
def test_a_group_without_a_name_is_refused(
    group: str, value: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(f"{group}={value}", monkeypatch).startswith(f"error: {group} must be one of ")


def test_a_configuration_that_is_no_yaml_is_refused(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(Path("configs").resolve(), "copy")
    Path("configs").unlink()
    Path("copy").rename("configs")
    for content in (b"a: b: c", b"\xff\xfe", b"model: null\n", b"training: 1\n"):
        Path("configs/config.yaml").write_bytes(content)
        said("seed=1", monkeypatch)


@pytest.fixture
def ready(workspace: Path, processed: Processed, bundle: Bundle) -> Path:
    """A workspace in which every stage has what it needs."""
    processed.save(Path("data/processed"))
    bundle.save(Path("models/bundle"))
    Path("reports").mkdir()
    return workspace


def run(stage: str, *settings: str) -> subprocess.CompletedProcess[str]:
    command = [*AS_USER, sys.executable, "-m", f"toy_project.{stage}", *SMALL, *settings]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("stage", "path", "message"),
    [
        ("train", "data/processed/spec.json", "data/processed/spec.json: Is a directory"),
        (
            "train",
            "data/processed/train.safetensors",
            "data/processed/train.safetensors cannot be read (No such device (os error 19)); "
            "run `make preprocess`",
        ),
        ("train", "models/checkpoints/best.pt", "models/checkpoints/best.pt: Is a directory"),
        ("train", ".stage.lock", ".stage.lock: Is a directory"),
        ("evaluate", "reports/metrics.json", "reports/metrics.json: Is a directory"),
        ("register", "reports/metrics.json", "reports/metrics.json: Is a directory"),
        (
            "fetch",
            "data/raw/dataset.parquet",
            "data/raw/.dataset.parquet.new -> data/raw/dataset.parquet: Is a directory",
        ),
    ],
)
def test_a_folder_in_place_of_a_file_ends_in_one_line(
    stage: str, path: str, message: str, ready: Path
) -> None:
    Path(path).unlink(missing_ok=True)
    Path(path, "mine").mkdir(parents=True)
    done = run(stage)
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")
    assert Path(path, "mine").is_dir()


@pytest.mark.parametrize(
    ("stage", "path", "message"),
    [
        ("evaluate", "reports", "reports: Not a directory"),
        ("train", "models/checkpoints", "models/checkpoints: File exists"),
    ],
)
def test_a_file_in_place_of_a_folder_ends_in_one_line(
    stage: str, path: str, message: str, ready: Path
) -> None:
    shutil.rmtree(path, ignore_errors=True)
    Path(path).write_text("mine")
    done = run(stage)
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")
    assert Path(path).read_text() == "mine"


@pytest.mark.parametrize(
    ("stage", "path", "mode", "message"),
    [
        ("train", "data/processed/spec.json", 0, "data/processed/spec.json: Permission denied"),
        ("train", ".", 0o500, ".stage.lock: Permission denied"),
        ("train", "models/checkpoints", 0o500, "models/checkpoints/best.pt: Permission denied"),
        ("fetch", "data/raw", 0o500, "data/raw/.dataset.parquet.new: Permission denied"),
    ],
)
def test_what_may_not_be_read_or_written_ends_in_one_line(
    stage: str, path: str, mode: int, message: str, ready: Path
) -> None:
    for folder in ("models/checkpoints", "data/raw"):
        Path(folder).mkdir()
    Path("models/checkpoints/best.pt").write_text("old")
    before = Path(path).stat().st_mode
    Path(path).chmod(mode)
    try:
        done = run(stage)
    finally:
        Path(path).chmod(before)
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")


def test_a_disk_that_is_read_only_ends_in_one_line(ready: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "reports"]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    try:
        done = run("train")
    finally:
        subprocess.run(["umount", "reports"], check=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: reports/.history.csv.new: Read-only file system"
    assert "Traceback" not in done.stderr


def test_a_bundle_of_other_data_is_not_scored(ready: Path, processed: Processed) -> None:
    encoder = TextEncoder.fit([{"text": "a few words"}], TextEncoderConfig(min_count=1))
    spec = replace(processed.spec, encoder=encoder)
    Processed(processed.rows, spec).save(Path("data/processed"))
    done = run("evaluate")
    message = "models/bundle was trained on other data than data/processed; run `make train`"
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")
