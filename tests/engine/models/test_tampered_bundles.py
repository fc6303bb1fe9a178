"""A bundle that is not what was written is refused in one line, before it can take memory."""

import hashlib
import json
import os
import re
import resource
import signal
import struct
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_project.artifacts import BUNDLE, PROCESSED
from toy_project.data.preprocessing import Processed
from toy_project.models.base import build_model
from toy_project.models.bundle import Bundle, BundleError
from toy_project.tracking.base import create_tracker
from toy_project.tracking.registry import create_registry

from ..conftest import bundle_of

WEIGHTS, CHECKS = "model.safetensors", "checks.safetensors"
CONFIG, LINEAGE = "config.json", "lineage.json"
MAX_BYTES, MAX_S = 2**27, 10
"""What it may take to refuse a bundle of some kilobytes."""

Tamper = Callable[[dict[str, Any], Path], object]


@pytest.fixture(params=["mlp", "transformer"])
def folder(request, bundle: Bundle, processed: Processed, tmp_path: Path) -> Path:
    """A bundle on disk, of each model."""
    settings = {"name": request.param, "hidden_size": 8, "num_bigram_buckets": 64}
    if request.param == "transformer":
        settings["feedforward_size"] = 16
    model = build_model(settings, processed.spec)
    bundle_of(model, processed.spec, lineage=bundle.lineage).save(tmp_path / "b")
    return tmp_path / "b"


@contextmanager
def little_memory_and_time() -> Generator[None]:
    """Fail a test in which something takes more memory than MAX_BYTES, or more time than MAX_S."""
    Path("/proc/self/clear_refs").write_text("5", "utf-8")  # forget the peak so far
    before = resident("VmRSS")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (resident("VmSize") + 2**32, limits[1]))
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"takes longer than {MAX_S} s"))
    signal.alarm(MAX_S)
    yield
    signal.alarm(0)
    resource.setrlimit(resource.RLIMIT_AS, limits)
    assert resident("VmHWM") - before < MAX_BYTES


def resident(name: str) -> int:
    """The bytes that /proc/self/status has under a name."""
    [line] = re.findall(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    return int(line) * 1024


def tampered(folder: Path, tamper: Tamper) -> None:
    """Change a bundle, and then all hashes so that they fit, as whoever can write it can."""
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    tamper(config, folder)
    if isinstance(config.get("sha256"), dict):
        del config["sha256"][CONFIG]
        for path in (folder / WEIGHTS, folder / LINEAGE):
            if path.is_file() and path.stat().st_size < MAX_BYTES:
                config["sha256"][path.name] = sha256(path.read_bytes())
        config["sha256"][CONFIG] = sha256(text(config))
    if (folder / CONFIG).is_file() and (folder / CONFIG).stat().st_size < MAX_BYTES:
        (folder / CONFIG).write_bytes(text(config))


def text(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def set_to(*path: str, value: Any) -> Tamper:
    def tamper(config: dict[str, Any], folder: Path) -> None:
        for name in path[:-1]:
            config = config[name]
        config[path[-1]] = value

    return tamper


def lineage(**values: Any) -> Tamper:
    def tamper(config: dict[str, Any], folder: Path) -> None:
        known = json.loads((folder / LINEAGE).read_text("utf-8"))
        (folder / LINEAGE).write_bytes(text(known | values))

    return tamper


def file(name: str, content: bytes) -> Tamper:
    return lambda _, folder: (folder / name).write_bytes(content)


def tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Tamper:
    def tamper(config: dict[str, Any], folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS)

    return tamper


def header(change: Callable[[dict[str, Any]], Any]) -> Tamper:
    def tamper(config: dict[str, Any], folder: Path) -> None:
        content = (folder / WEIGHTS).read_bytes()
        [size] = struct.unpack("<Q", content[:8])
        entries = json.loads(content[8 : 8 + size])
        change(entries)
        new = json.dumps(entries).encode()
        (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(new)) + new + content[8 + size :])

    return tamper


def overlap(entries: dict[str, Any]) -> None:
    names = list(entries)
    entries[names[0]]["data_offsets"] = entries[names[1]]["data_offsets"]


def in_place_of(name: str, make: Callable[[Path], Any]) -> Tamper:
    def tamper(config: dict[str, Any], folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return tamper


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**31)


DEEP = "[" * 100_000 + "]" * 100_000
FIRST = "embedding.tokens.weight"

MALFORMED: dict[str, Tamper] = {
    "model is a list": set_to("model", value=[]),
    "model is null": set_to("model", value=None),
    "no model": lambda config, _: config.pop("model"),
    "name is a list": set_to("model", "name", value=[]),
    "name is a path": set_to("model", "name", value="../mlp"),
    "name is no model": set_to("model", "name", value="bundle"),
    "an unknown setting": set_to("model", "\x1b[31m", value=1),
    "hidden_size is text": set_to("model", "hidden_size", value="8"),
    "hidden_size is a float": set_to("model", "hidden_size", value=8.0),
    "hidden_size is a bool": set_to("model", "hidden_size", value=True),
    "hidden_size is null": set_to("model", "hidden_size", value=None),
    "hidden_size is negative": set_to("model", "hidden_size", value=-8),
    "hidden_size is giant": set_to("model", "hidden_size", value=10**9 * 4),
    "hidden_size is beyond 64 bits": set_to("model", "hidden_size", value=10**30 * 4),
    "buckets are giant": set_to("model", "num_bigram_buckets", value=10**12),
    "dropout is not a number": set_to("model", "dropout", value=float("nan")),
    "dropout is text": set_to("model", "dropout", value="0.1"),
    "objective is a list": set_to("objective", value=[]),
    "objective is null": set_to("objective", value=None),
    "no objective": lambda config, _: config.pop("objective"),
    "objective is no objective": set_to("objective", "name", value="base"),
    "objective has no name": lambda config, _: config["objective"].pop("name"),
    "smoothing is giant": set_to("objective", "label_smoothing", value=1e308),
    "weights are too few": set_to("objective", "weights", value=[1.0]),
    "a weight is negative": set_to("objective", "weights", value=[1.0, 1.0, -1.0]),
    "encoder is no encoder": set_to("encoder", "name", value="rows"),
    "labels are null": set_to("objective", "labels", value=None),
    "labels are a text": set_to("objective", "labels", value="abc"),
    "labels are numbers": set_to("objective", "labels", value=[1, 2, 3]),
    "labels are lists": set_to("objective", "labels", value=[[], [], []]),
    "labels are the same": set_to("objective", "labels", value=["a", "a", "a"]),
    "no labels": set_to("objective", "labels", value=[]),
    "a label is no text": set_to("objective", "labels", value=["\ud800", "a", "b"]),
    "no encoder": lambda config, _: config.pop("encoder"),
    "encoder is a list": set_to("encoder", value=["tokens", "max_tokens"]),
    "encoder is null": set_to("encoder", value=None),
    "tokens are null": set_to("encoder", "tokens", value=None),
    "tokens are missing": set_to("encoder", "tokens", value=["cat"]),
    "tokens are numbers": lambda config, _: config["encoder"].update(
        tokens=list(range(len(config["encoder"]["tokens"])))
    ),
    "tokens are the same": lambda config, _: config["encoder"].update(
        tokens=["cat"] * len(config["encoder"]["tokens"])
    ),
    "max_tokens is negative": set_to("encoder", "max_tokens", value=-1),
    "max_tokens is text": set_to("encoder", "max_tokens", value="16"),
    "max_tokens is giant": lambda config, _: (config["encoder"].update(max_tokens=10**30),),
    "schema_version is missing": lambda config, _: config.pop("schema_version"),
    "sha256 is a list": set_to("sha256", value=[]),
    "sha256 is null": set_to("sha256", value=None),
    "lineage is a list": file(LINEAGE, b"[]"),
    "lineage is null": file(LINEAGE, b"null"),
    "lineage is empty": file(LINEAGE, b""),
    "lineage is deep": file(LINEAGE, DEEP.encode()),
    "lineage is no UTF-8": file(LINEAGE, b"\xff"),
    "an unknown origin": lineage(author="x"),
    "git_commit is a number": lineage(git_commit=1),
    "git_dirty is text": lineage(git_dirty="no"),
    "data_hash is null": lineage(data_hash=None),
    "data_hash has two lines": lineage(data_hash="a\nb"),
    "data_hash is long": lineage(data_hash="a" * 10_000),
    "run_id is a path": lineage(run_id="../../../etc"),
    "a metric is NaN": lineage(validation_metrics={"accuracy": float("nan")}),
    "a metric is text": lineage(validation_metrics={"accuracy": "<b>1</b>"}),
    "git_commit is for a terminal": lineage(git_commit="\x1b]0;x\x07"),
    "weights are empty": file(WEIGHTS, b""),
    "weights are a header's length": file(WEIGHTS, b"\xff" * 8),
    "weights are no header": file(WEIGHTS, struct.pack("<Q", 9) + b"not JSON!"),
    "weights are a deep header": file(WEIGHTS, struct.pack("<Q", 2 * 10**5) + DEEP.encode()),
    "weights overlap": header(overlap),
    "weights end elsewhere": header(lambda entries: entries[FIRST].update(data_offsets=[0, 1])),
    "weights have a giant shape": header(lambda entries: entries[FIRST].update(shape=[2**60, 8])),
    "weights have a negative shape": header(lambda entries: entries[FIRST].update(shape=[-1])),
    "weights have an unknown type": header(lambda entries: entries[FIRST].update(dtype="X")),
    "weights have whole numbers": header(lambda entries: entries[FIRST].update(dtype="I32")),
    "weights have twice the digits": tensors(lambda w: w.update({FIRST: w[FIRST].double()})),
    "weights lack one": tensors(lambda w: w.pop(FIRST)),
    "weights have one more": tensors(lambda w: w.update({"\x1b[31m": torch.zeros(1)})),
    "weights are turned": tensors(lambda w: w.update({FIRST: w[FIRST].T.contiguous()})),
    "weights are not finite": tensors(lambda w: w[FIRST][-1].fill_(torch.inf)),
    "weights are a few sparse gigabytes": in_place_of(WEIGHTS, sparse),
    "config is a few sparse gigabytes": in_place_of(CONFIG, sparse),
    "lineage is a few sparse gigabytes": in_place_of(LINEAGE, sparse),
    "weights are a pipe": in_place_of(WEIGHTS, os.mkfifo),
    "config is a pipe": in_place_of(CONFIG, os.mkfifo),
    "lineage is a pipe": in_place_of(LINEAGE, os.mkfifo),
    "weights are a folder": in_place_of(WEIGHTS, Path.mkdir),
    "config is a folder": in_place_of(CONFIG, Path.mkdir),
    "weights are a device": in_place_of(WEIGHTS, lambda path: path.symlink_to("/dev/zero")),
    "lineage is a device": in_place_of(LINEAGE, lambda path: path.symlink_to("/dev/zero")),
    "lineage is a loop": in_place_of(LINEAGE, lambda path: path.symlink_to(path)),
}
OF_TRANSFORMERS: dict[str, Tamper] = {
    "30,000 layers": set_to("model", "num_layers", value=30_000),
    "a billion layers": set_to("model", "num_layers", value=10**9),
    "a layer less": set_to("model", "num_layers", value=1),
    "heads are a float": set_to("model", "num_heads", value=4.0),
    "heads are none": set_to("model", "num_heads", value=0),
    "as many positions as one likes": lambda config, _: (
        config["encoder"].update(max_tokens=10**9),
    ),
}


def refusal(folder: Path) -> str:
    """The one line with which it is refused."""
    with little_memory_and_time(), pytest.raises(BundleError) as caught:
        assert Bundle.load(folder).model
    line = str(caught.value)
    assert str(folder) in line
    assert line.isprintable()
    assert len(line) < 400
    assert not isinstance(caught.value.__cause__, MemoryError)
    return line


@pytest.mark.parametrize("tamper", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_bundle_is_refused(folder, tamper):
    tampered(folder, tamper)
    refusal(folder)


def test_a_file_whose_name_is_for_terminals_is_refused(folder):
    tampered(folder, lambda config, _: config["sha256"].update({"\x1b[31m": "0" * 64}))
    refusal(folder)


def test_a_giant_export_is_refused(bundle_folder):
    (bundle_folder / "model.onnx").unlink()
    sparse(bundle_folder / "model.onnx")
    assert "is damaged: model.onnx" in refusal(bundle_folder)


@pytest.mark.parametrize("tamper", OF_TRANSFORMERS.values(), ids=OF_TRANSFORMERS)
@pytest.mark.parametrize("folder", ["transformer"], indirect=True)
def test_a_malformed_transformer_is_refused(folder, tamper):
    tampered(folder, tamper)
    refusal(folder)


@pytest.mark.parametrize("name", [WEIGHTS, CHECKS, CONFIG, LINEAGE])
def test_every_byte_is_covered(folder, name):
    content = (folder / name).read_bytes()
    places = range(0, len(content), len(content) // 60)
    changed = [content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :] for i in places]
    for one in (*changed, content[:-1], content + b" ", content[: len(content) // 2], b""):
        (folder / name).write_bytes(one)
        assert refusal(folder).startswith(f"{folder} ")
    (folder / name).write_bytes(content)
    assert Bundle.load(folder).model


CHANGED: dict[str, Tamper] = {
    "labels": lambda config, _: config["objective"]["labels"].reverse(),
    "tokens": lambda config, _: config["encoder"]["tokens"].reverse(),
    "settings": set_to("model", "dropout", value=0.5),
    "weights": tensors(lambda w: w[FIRST][0].fill_(1)),
}


@pytest.mark.parametrize("tamper", CHANGED.values(), ids=CHANGED)
def test_what_predicts_differently_has_another_version(folder, tamper):
    before = Bundle.load(folder)
    tampered(folder, tamper)
    after = Bundle.load(folder)
    assert after.version != before.version
    assert after.sha256 != before.sha256


def test_another_origin_is_another_bundle_of_the_same_version(folder):
    before = Bundle.load(folder)
    tampered(folder, lineage(git_commit="0" * 40))
    after = Bundle.load(folder)
    assert after.version == before.version
    assert after.sha256 != before.sha256


def test_its_hash_is_that_in_its_config(folder):
    config = json.loads((folder / CONFIG).read_bytes())
    bundle = Bundle.load(folder)
    assert bundle.sha256 == config["sha256"].pop(CONFIG) == sha256(text(config))
    assert config["sha256"] == {
        name: sha256((folder / name).read_bytes()) for name in (CHECKS, LINEAGE, WEIGHTS)
    }


@pytest.mark.parametrize("tamper", [*CHANGED.values(), lineage(git_commit="0" * 40)])
def test_the_registry_notices_another_bundle(folder, tamper, tracking):
    tags = Bundle.load(folder).tags()
    tampered(folder, tamper)
    registry = create_registry(tracking)
    with create_tracker(tracking).start("one") as tracker:
        model = registry.register("model", folder, run=tracker, description="", tags=tags)
    message = f"version {model.version} of model is not the model that was registered"
    with pytest.raises(BundleError, match=f"^{message}$"):
        registry.load(model)


def test_a_bundle_of_an_older_release_says_what_to_do(folder):
    """Its labels could be anything, so it is not converted."""
    config = json.loads((folder / CONFIG).read_bytes())
    del config["sha256"][CONFIG]
    (folder / CONFIG).write_bytes(text(config | {"schema_version": 1}))
    expected = f"{folder} has schema version 1, expected 4; train the model again"
    assert refusal(folder) == expected


def test_a_stage_ends_in_one_line(folder, processed, workspace, monkeypatch):
    processed.save(PROCESSED)
    BUNDLE.parent.mkdir()
    folder.rename(BUNDLE)
    tampered(BUNDLE, set_to("model", "hidden_size", value=-8))
    for stage in ("evaluate", "register", "serve"):
        settings = ["serving.port=0", "serving.backend=torch"] if stage == "serve" else []
        monkeypatch.setattr(sys, "argv", [stage, *settings])
        with pytest.raises(SystemExit) as ended:
            import_module(f"toy_project.{stage}").main()
        assert ended.value.code == (
            "error: models/bundle does not fit this code "
            "(model.hidden_size must be in [1, 65536], got -8); train the model again"
        )
