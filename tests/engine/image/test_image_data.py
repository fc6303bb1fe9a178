"""Images of one's own, from files to a bundle, and training on them that was interrupted."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
import torch
from miniature import make_rows
from PIL import Image
from toy_project import evaluate, fetch, preprocess, train
from toy_project.artifacts import (
    BUNDLE,
    CHECKPOINTS,
    HISTORY_CSV,
    PROCESSED,
    REPORTS,
)
from toy_project.data.dataset import Split
from toy_project.data.rows import Rows
from toy_project.data.spec import DataSpec
from toy_project.models.bundle import Bundle
from toy_project.serving.predictor import Predictor

from ..commands import run
from .pictures import encoded, noise

SIZE = "data.encoder.size=[6,8]"
SMALL = ("model.width=8", "model.num_stages=2", "tracking=none", "launcher.num_threads=1")
LINEAR = {"regression": "ridge", "multilabel": "logistic_regression"}
KINDS = ("png", "jpg", "tiff")


@pytest.fixture
def folders(workspace: Path) -> Path:
    """Rows of the miniature dataset as files of all kinds, in a folder for each label."""
    for number, row in enumerate(make_rows(per_label=12)):
        kind = KINDS[number % len(KINDS)]
        path = Path("mine", row.values["label"], "more"[: number % 2 * 4], f"{number:03}.{kind}")
        path.parent.mkdir(parents=True, exist_ok=True)
        (workspace / "raw.png").write_bytes(row.values["image"])
        with Image.open("raw.png") as image:
            image.save(path)
    Path("mine/.DS_Store").write_bytes(b"\0")
    Path("mine/dark/.DS_Store").write_bytes(b"\0")
    Path("mine/dark/.thumbnails").mkdir()
    Path("mine/dark/.thumbnails/small.png").write_bytes(b"\0")
    return Path("mine")


def table_of(folder: Path, path: Path, *, is_absolute: bool) -> None:
    """Write the table of a folder's images."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label"))
        for image in sorted(folder.rglob("[0-9]*.*")):
            name = image.resolve() if is_absolute else os.path.relpath(image, path.parent)
            writer.writerow((name, image.relative_to(folder).parts[0]))


def inputs() -> Mapping[str, torch.Tensor]:
    """Return what the models read."""
    splits = ("train", "validation", "test")
    return {name: Split.load(PROCESSED / f"{name}.safetensors").values for name in splits}


def test_a_folder_for_each_label_goes_all_the_way(folders):
    settings = (f"data.path={folders}", SIZE, *SMALL, "training.epochs=2")
    assert run(fetch, preprocess, train, evaluate, settings=settings) is None
    shapes = [tuple(values.shape[1:]) for values in inputs().values()]
    assert shapes == [(1, 6, 8)] * 3
    assert all(values.dtype == torch.uint8 for values in inputs().values())
    with (REPORTS / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows and all(Path(row["id"]).parts[:2] == ("mine", row["target"]) for row in rows)
    predictor = Predictor(Bundle.load(BUNDLE))
    request = {"image": encoded(Image.open(rows[0]["id"])), "pixels": None}
    [answer] = predictor.predict([predictor.spec.encoder.row(request)])
    assert answer.prediction == rows[0]["prediction"]


@pytest.mark.parametrize("is_absolute", [True, False])
def test_a_table_with_paths_gives_what_the_folders_do(folders, is_absolute):
    assert run(fetch, preprocess, settings=(f"data.path={folders}", SIZE)) is None
    expected = inputs()
    table_of(folders, Path("tables/mine.csv"), is_absolute=is_absolute)
    settings = ("data.path=tables/mine.csv", "data.columns.image=file", SIZE)
    assert run(fetch, preprocess, settings=settings) is None
    for name, values in inputs().items():
        assert values.equal(expected[name])
    row = next(iter(Rows(PROCESSED / "test.parquet")))
    shown = DataSpec.load(PROCESSED).encoder.shown(row.values)
    assert Path("tables", shown["file"]).is_file()


def test_a_broken_image_is_named(folders):
    whole = (folders / "dark/000.png").read_bytes()
    (folders / "dark/000.png").write_bytes(whole[:-30])
    (folders / "bright/notes.txt").write_text("not an image")
    error = run(fetch, preprocess, settings=(f"data.path={folders}", SIZE))
    assert error is not None and error.count("\n") == 0
    assert "mine/bright/notes.txt: the image is not PNG or JPEG or TIFF; " in error
    assert "mine/dark/000.png: the image cannot be read: image file is truncated" in error
    table_of(folders, Path("mine.csv"), is_absolute=False)
    settings = ("data.path=mine.csv", "data.columns.image=file", SIZE)
    error = run(fetch, preprocess, settings=settings)
    assert error is not None and "mine.csv:" in error
    assert ": mine/dark/000.png: the image cannot be read: image file is truncated" in error


def test_a_path_that_leads_nowhere_is_named(folders):
    table_of(folders, Path("mine.csv"), is_absolute=False)
    (folders / "dark/000.png").unlink()
    error = run(fetch, settings=("data.path=mine.csv", "data.columns.image=file"))
    assert error is not None and "mine.csv:" in error and error.count("\n") == 0
    assert "mine/dark/000.png cannot be read (No such file or directory)" in error


@pytest.mark.parametrize("objective", ["regression", "multilabel"])
def test_the_digits_suit_every_objective(workspace, objective):
    settings = (f"objective={objective}", *SMALL, "training.max_steps=4")
    assert run(fetch, preprocess, train, evaluate, settings=settings) is None
    metrics = json.loads((REPORTS / "metrics.json").read_text("utf-8"))
    assert set(metrics["baselines"]) > {f"pixels_{LINEAR[objective]}"}


AFFINE = "model.augmentations=[{name: RandomAffine, degrees: 20, translate: [0.1, 0.1], p: 0.7}]"
ERASING = AFFINE[:-1] + ", {name: RandomErasing, p: 0.5}]"
TRAINING = (
    *(SIZE, *SMALL, ERASING, "training.batch_size=8", "training.epochs=15", "training.patience=15"),
    *("training.checkpoint_every_n_steps=1", "model.dropout=0.2"),
)


def test_a_killed_training_with_augmentations_resumes_to_the_same_bits(folders):
    settings = (f"data.path={folders}", *TRAINING)
    assert run(fetch, preprocess, train, settings=settings) is None
    whole = result()
    assert run(train, settings=(*settings, "model.augmentations=[]", "resume=never")) is None
    assert result() != whole, "augmentations change nothing"
    command = [sys.executable, "-m", train.__name__, *settings]
    run_again = [*command, "resume=never"]
    for _ in range(2):
        with subprocess.Popen(run_again, stderr=subprocess.DEVNULL) as process:
            before = newest()
            while newest() < max(before, 0) + 5 and process.poll() is None:
                time.sleep(0.005)
            assert process.poll() is None, "training has ended"
            process.send_signal(signal.SIGKILL)
        run_again = command
    resumed = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "resuming after step" in resumed.stderr
    assert result() == whole


def newest() -> int:
    """Return the step of the last checkpoint, or 0."""
    return max((int(path.stem[5:]) for path in CHECKPOINTS.glob("step-*.pt")), default=0)


def result() -> tuple[bytes, bytes]:
    """Return the weights, and the figures of each evaluation."""
    return (BUNDLE / "model.safetensors").read_bytes(), HISTORY_CSV.read_bytes()


MEASURED = """
import sys, resource
from importlib import import_module
import_module(sys.argv.pop(1)).main()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_images_are_fetched_from_file_to_file(workspace):
    """Hundreds of megabytes more may not need much more memory."""
    peaks = []
    for number in (24, 120):
        for label in ("one", "two"):
            Path("mine", label).mkdir(parents=True, exist_ok=True)
            for index in range(number // 2):
                content = encoded(noise(1024, 1024), compress_level=0)  # 3 MB
                Path("mine", label, f"{index}.png").write_bytes(content)
        peaks.append(peak(fetch))
    assert sum(path.stat().st_size for path in Path("mine").rglob("*.png")) > 350 * 2**20
    assert peaks[1] - peaks[0] < 60 * 2**20


def peak(stage: ModuleType) -> int:
    """Return the most memory in bytes that a stage had."""
    settings = ("data.path=mine", "data.encoder.size=64")
    command = [sys.executable, "-c", MEASURED, stage.__name__, *settings]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return 1024 * int(done.stdout.split()[-1])
