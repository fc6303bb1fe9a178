"""A trained model on disk: everything that a prediction needs, and where it came from. No pickle.

model.safetensors   the weights
model.onnx          the same model for ONNX Runtime, unless it could not be exported
model.int8.onnx     and with weights of int8, which is then served, if `training.export=int8`
checks.safetensors  a few inputs and the model's outputs for them, which every back end must repeat
encoder/            the encoder's own files, if it has any
profile.json        samples of features and predictions, if the project has monitoring
lineage.json        code, data, configuration and run that made the model; its validation metrics
config.json         model, encoder, objective; the schema's version; SHA-256 of every file

PyTorch is needed to make a bundle, not to load one. The hashes detect damage, not manipulation:
anyone with write access can replace them too. The registry stores the hash of each registered
bundle, so it detects a replaced one.
"""

import hashlib
import json
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load as load_tensors

from ..artifacts import new_folder
from ..data.spec import ENCODER, DataSpec
from ..errors import ProjectError
from ..lineage import Lineage
from ..rules import FILE_NAME, NAMED, require, typed

if TYPE_CHECKING:
    from .base import Model

SCHEMA_VERSION = 4
WEIGHTS, ONNX, CHECKS = "model.safetensors", "model.onnx", "checks.safetensors"
INT8 = "model.int8.onnx"
LINEAGE, CONFIG = "lineage.json", "config.json"
TOLERANCE = 1e-4
"""How far from the model's outputs those of a back end may be, absolutely or relatively."""
MAX_JSON_BYTES = 2**28
"""Limit of lineage.json, and of config.json, whose vocabulary may have 16 million tokens."""
MAX_GRAPH_BYTES = 2**28
"""Limit of an ONNX file beyond twice the size of the weights."""

Run = Callable[[np.ndarray], np.ndarray]
"""Computes a model: returns outputs [rows, num_outputs] of inputs [rows, ...]."""

# ONNX Runtime, which reads it when it is imported, sends events to Microsoft by default.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


class BundleError(ProjectError):
    """A folder is not a bundle, its files were damaged or changed, or they do not fit this code."""


@dataclass(frozen=True)
class Bundle:
    """A trained model, with its encoder, its objective and its lineage."""

    settings: Mapping[str, Any]
    """The settings of the model."""
    spec: DataSpec
    """The encoder and the objective that the model was trained with."""
    lineage: Lineage
    files: Mapping[str, bytes] = field(repr=False)
    """WEIGHTS, CHECKS and, if the model could be exported, ONNX and INT8; others by their names."""
    folder: Path | None = field(default=None, compare=False)
    """Where it was loaded from."""

    @cached_property
    def model(self) -> "Model":
        """The model in PyTorch, on the CPU, in evaluation mode.

        Raises:
            BundleError: The weights do not fit this code.
        """
        from .base import read_model

        with explained(self.folder):
            return read_model(self.files[WEIGHTS], self.settings, self.spec)

    def check(self, run: Run, *, is_int8: bool = False) -> None:
        """Compare what `run` returns with the model's outputs.

        Those in int8 differ a little between kinds of CPUs: they may be as far from what they were
        in training as that was from the outputs of the model itself.

        Raises:
            BundleError: They differ, are not finite, or there are none to compare.
        """
        with explained(self.folder):
            checks = load_tensors(self.files[CHECKS])
            inputs, expected, tolerance = checks["inputs"], checks["outputs"], TOLERANCE
            where = self.folder or "the bundle"
            if not expected.size:
                raise BundleError(f"{where} has no outputs to check; train the model again")
            if is_int8:
                tolerance += np.abs(checks["int8"] - expected).max()
                expected = checks["int8"]
            outputs = run(inputs)
            if not np.isfinite(outputs).all():
                raise BundleError(f"{where} gives NaN or infinity; train the model again")
            is_same = outputs.shape == expected.shape
            if not (is_same and np.allclose(outputs, expected, rtol=TOLERANCE, atol=tolerance)):
                what = "gives other outputs than in training"
                raise BundleError(f"{where} {what}; train the model again")

    @cached_property
    def version(self) -> str:
        """An id of everything that a prediction depends on: 12 digits of its SHA-256.

        The lineage is not included: repeating the same training gives the same version.
        """
        hashes = {name: digest for name, digest in self._hashes.items() if name != LINEAGE}
        return _sha256(_json(self._config(hashes)))[:12]

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the whole bundle."""
        return _sha256(_json(self._config(self._hashes)))

    @cached_property
    def _hashes(self) -> dict[str, str]:
        return {name: _sha256(content) for name, content in sorted(self._contents().items())}

    def _contents(self) -> dict[str, bytes]:
        files = self.spec.encoder.files().items()
        return {
            **self.files,
            LINEAGE: _json(asdict(self.lineage)),
            **{f"{ENCODER}/{name}": content for name, content in files},
        }

    def _config(self, hashes: dict[str, str]) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.settings,
            **self.spec.to_dict(),
            "sha256": hashes,
        }

    def tags(self) -> dict[str, str]:
        """Return what a registry keeps: where the bundle came from, and its hashes."""
        hashes = {"bundle_version": self.version, "bundle_sha256": self.sha256}
        return self.lineage.tags() | hashes

    def save(self, folder: Path) -> None:
        """Write the bundle in place of what `folder` holds. It appears there only when complete."""
        with new_folder(folder) as new:
            for name, content in self._contents().items():
                (new / name).parent.mkdir(exist_ok=True)
                (new / name).write_bytes(content)
            (new / CONFIG).write_bytes(_sealed(self._config(self._hashes)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the bundle in `folder`.

        Raises:
            BundleError: A file is missing, damaged, of another schema version or of other code.
        """
        with explained(folder):
            _require_files(folder, CONFIG)
            config = _checked_config(folder)
            contents = _checked_contents(folder, config["sha256"])
            lineage = typed("lineage", Lineage, json.loads(contents.pop(LINEAGE)))
            settings, inside = config["model"], f"{ENCODER}/"
            require(NAMED.holds(settings), "model", NAMED.expected, settings)
            others = [name for name in contents if name.startswith(inside)]
            encoder = {name.removeprefix(inside): contents.pop(name) for name in others}
            return cls(settings, DataSpec.from_dict(config, encoder), lineage, contents, folder)


def session(content: bytes, *, num_threads: int = 1) -> Run:
    """Return what ONNX Runtime computes of the content of a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    # Memory stays where it was after a large batch. The arena keeps it, for no gain in time: after
    # batches of 16 texts of up to 128 tokens the process has 104 MB without it, 135 MB with it.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    # Threads that wait in a loop slow down the others of the server.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    made = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    [taken] = made.get_inputs()
    return lambda inputs: np.asarray(made.run(None, {taken.name: inputs})[0])


@contextmanager
def explained(folder: Path | None) -> Generator[None]:
    """Translate errors caused by the content of a bundle's files into a BundleError."""
    where = folder or "the bundle"
    try:
        yield
    except BundleError:
        raise
    except OSError as error:
        raise BundleError(f"{where} is not a bundle ({error}); train a model first") from error
    except Exception as error:  # a user's model may raise anything
        reason = " ".join(str(error).split())[:200]
        message = f"{where} does not fit this code ({reason}); train the model again"
        raise BundleError(message) from error


@contextmanager
def private_copy(name: object) -> Generator[Path]:
    """Yield the path of a copy to make of a bundle. Errors call it `name`, and it is removed.

    No other process knows it, and no other user can change it.
    """
    with TemporaryDirectory() as private:
        copy = Path(private, "bundle")
        try:
            yield copy
        except BundleError as error:
            raise BundleError(str(error).replace(str(copy), str(name))) from error


def _damaged(folder: Path, name: str) -> BundleError:
    return BundleError(f"{folder} is damaged: {name} is not what was written")


def _require_files(folder: Path, *names: str) -> None:
    """Check the files before opening one: reading a pipe or a device may never end."""
    for name in names:
        path = folder / name
        if not path.is_file():
            state = "is not a file" if path.exists() else "is missing"
            raise BundleError(f"{folder} is not a bundle ({name} {state}); train a model first")
        if name in (CONFIG, LINEAGE) and path.stat().st_size > MAX_JSON_BYTES:
            raise _damaged(folder, name)


def _checked_config(folder: Path) -> dict[str, Any]:
    content = (folder / CONFIG).read_bytes()
    try:
        config = json.loads(content)
        version = config["schema_version"]
        is_sealed = _sealed(config) == content
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(folder, CONFIG) from error
    if version != SCHEMA_VERSION:
        found = f"has schema version {version!r:.20}, expected {SCHEMA_VERSION}"
        raise BundleError(f"{folder} {found}; train the model again")
    if not is_sealed:
        raise _damaged(folder, CONFIG)
    return config


def _sealed(config: dict[str, Any]) -> bytes:
    """Return the content of config.json, whose last hash covers the rest of it."""
    hashes = {name: digest for name, digest in config["sha256"].items() if name != CONFIG}
    own = _sha256(_json(config | {"sha256": hashes}))
    return _json(config | {"sha256": hashes | {CONFIG: own}})


def _checked_contents(folder: Path, hashes: dict[str, str]) -> dict[str, bytes]:
    """Return the content of each file, after checking it against its hash."""
    names = [name for name in hashes if name != CONFIG]
    inside = [name.removeprefix(f"{ENCODER}/") for name in names]
    require(all(map(FILE_NAME.holds, inside)), "sha256", "of files", inside)
    _require_files(folder, *dict.fromkeys((LINEAGE, WEIGHTS, CHECKS, *names)))
    most = 2 * (folder / WEIGHTS).stat().st_size + MAX_GRAPH_BYTES
    for name in {ONNX, INT8}.intersection(names):  # it holds a graph and the weights again
        if (folder / name).stat().st_size > most:
            raise _damaged(folder, name)
    contents = {}
    for name in names:
        try:
            if name in (WEIGHTS, CHECKS):
                with safe_open(folder / name, "np"):
                    pass  # reads the header alone, which tells the size of the file
            contents[name] = (folder / name).read_bytes()
        except SafetensorError as error:
            raise _damaged(folder, name) from error
        if _sha256(contents[name]) != hashes[name]:
            raise _damaged(folder, name)
    return contents


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
