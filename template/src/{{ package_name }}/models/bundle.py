"""A trained model on disk: everything that a prediction needs, and where it came from. No pickle.

model.safetensors   the weights
encoder/            the encoder's own files, if it has any
lineage.json        code, data, configuration and run that made the model
config.json         model, encoder, objective; the schema's version; SHA-256 of every file

The hashes detect damage, not manipulation: anyone with write access can replace them too. The
registry stores the hash of each registered bundle, so it detects a replaced one.
"""

import hashlib
import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..artifacts import new_folder
from ..data.spec import ENCODER, DataSpec
from ..errors import ProjectError
from ..lineage import Lineage
from ..rules import FILE_NAME, NAMED, require, typed
from .base import Model, build_model

SCHEMA_VERSION = 3
WEIGHTS, LINEAGE, CONFIG = "model.safetensors", "lineage.json", "config.json"
MAX_JSON_BYTES = 2**28
"""Limit of config.json, which holds the vocabulary: about 16 million tokens."""
SLACK = 4
"""How often a parameter may be registered while a model is built; parametrizations repeat it."""


class BundleError(ProjectError):
    """A folder is not a bundle, or its files were damaged or changed."""


@dataclass(frozen=True)
class Bundle:
    """A trained model, with its encoder, its objective and its lineage."""

    model: Model
    spec: DataSpec
    """The encoder and the objective that the model was trained with."""
    lineage: Lineage

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
        return {name: _sha256(content) for name, content in self._contents().items()}

    def _contents(self) -> dict[str, bytes]:
        files = self.spec.encoder.files().items()
        return {
            WEIGHTS: save(self.model.state_dict()),
            LINEAGE: _json(asdict(self.lineage)),
            **{f"{ENCODER}/{name}": content for name, content in files},
        }

    def _config(self, hashes: dict[str, str]) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "model": asdict(self.model.config),
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
        """Return the bundle in `folder`, on the CPU, in evaluation mode.

        Raises:
            BundleError: A file is missing, damaged, of another schema version or of other code.
        """
        with _explained(folder):
            _require_files(folder, CONFIG, LINEAGE, WEIGHTS)
            config = _checked_config(folder)
            spec = DataSpec.from_dict(config, _encoder_files(folder, config))
            lineage = typed("lineage", Lineage, json.loads(_checked(folder, LINEAGE, config)))
            return cls(_read_model(folder, config, spec).eval(), spec, lineage)


@contextmanager
def _explained(folder: Path) -> Generator[None]:
    """Translate errors caused by a file's content into a BundleError."""
    try:
        yield
    except BundleError:
        raise
    except OSError as error:
        raise BundleError(f"{folder} is not a bundle ({error}); train a model first") from error
    except SafetensorError as error:
        raise _damaged(folder, WEIGHTS) from error
    except Exception as error:  # a user's model may raise anything
        reason = " ".join(str(error).split())[:200]
        message = f"{folder} does not fit this code ({reason}); train the model again"
        raise BundleError(message) from error


def _damaged(folder: Path, name: str) -> BundleError:
    return BundleError(f"{folder} is damaged: {name} is not what was written")


def _require_files(folder: Path, *names: str) -> None:
    """Check the files before opening one: reading a pipe or a device may never end."""
    for name in names:
        path = folder / name
        if not path.is_file():
            state = "is not a file" if path.exists() else "is missing"
            raise BundleError(f"{folder} is not a bundle ({name} {state}); train a model first")
        if name != WEIGHTS and path.stat().st_size > MAX_JSON_BYTES:
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


def _checked(folder: Path, name: str, config: dict[str, Any]) -> bytes:
    """Return the content of a file after checking it against the hash in `config`."""
    content = (folder / name).read_bytes()
    if _sha256(content) != config["sha256"][name]:
        raise _damaged(folder, name)
    return content


def _encoder_files(folder: Path, config: dict[str, Any]) -> dict[str, bytes]:
    """Return the encoder's own files by name."""
    paths = {path: path.removeprefix(f"{ENCODER}/") for path in config["sha256"]}
    files = {path: name for path, name in paths.items() if name != path}
    require(all(map(FILE_NAME.holds, files.values())), "sha256", "of files", list(files))
    _require_files(folder, *files)
    return {name: _checked(folder, path, config) for path, name in files.items()}


def _read_model(folder: Path, config: dict[str, Any], spec: DataSpec) -> Model:
    require(NAMED.holds(config["model"]), "model", NAMED.expected, config["model"])
    path = folder / WEIGHTS
    with safe_open(path, "pt") as file:
        shapes = {name: [*file.get_slice(name).get_shape()] for name in file.keys()}  # noqa: SIM118
    with _no_larger_than(path.stat().st_size, num_tensors=len(shapes)):
        model = build_model(config["model"], spec)
    expected = model.state_dict()
    _require_same(shapes, {name: [*tensor.shape] for name, tensor in expected.items()})
    weights = load(_checked(folder, WEIGHTS, config))
    dtypes = ({name: tensor.dtype for name, tensor in t.items()} for t in (weights, expected))
    _require_same(*dtypes)
    model.load_state_dict(weights)
    is_finite = all(parameter.isfinite().all() for parameter in model.parameters())
    require(is_finite, WEIGHTS, "finite", "NaN or infinity")
    return model


@contextmanager
def _no_larger_than(num_bytes: int, *, num_tensors: int) -> Generator[None]:
    """Raise a ValueError when a model is built with parameters too large for such a file.

    PyTorch's modules register a parameter before they fill it; until then it takes no memory.
    """
    num_left, bytes_left = SLACK * num_tensors, SLACK * num_bytes

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal num_left, bytes_left
        num_left, bytes_left = num_left - 1, bytes_left - parameter.nbytes
        if min(num_left, bytes_left) < 0:
            raise ValueError(f"config.json describes a model that is larger than {WEIGHTS}")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _require_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise ValueError(f"{name!r:.60} is {found.get(name)}, expected {expected.get(name)}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
