"""Where a model comes from: a bundle's folder, or an alias of the registry."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..lookup import find_optional
from ..models.bundle import Bundle
from ..tracking.base import TrackingError
from ..tracking.registry import RegisteredModel, Registry, create_registry
from .config import ServeConfig
from .predictor import Predictor

ALIASES = ("champion", "challenger")


class Found(NamedTuple):
    """What a source holds."""

    name: str = "the model"
    """The version or the folder, as people call it."""
    state: object = None
    """Another one if the content may be another."""


@dataclass(frozen=True)
class Source:
    """Where a model comes from. Both functions raise a TrackingError if that cannot be reached."""

    load: Callable[[], Predictor]
    """Returns a predictor that has passed its checks, or raises a BundleError."""
    find: Callable[[], Found] = Found
    """Returns what `load` would load; by default always the same."""


def find_in_folder(folder: Path) -> Found:
    """Return what `folder` holds, without reading its files."""
    try:
        state = [(path, _state(path)) for path in sorted(folder.rglob("*"))]
    except OSError:  # it is being replaced
        return Found(str(folder), None)
    return Found(str(folder), state)


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        file = path.stat()
    except OSError:  # a link to nothing
        return None
    return file.st_ino, file.st_size, file.st_mtime_ns


def model_source(config: ServeConfig) -> Source:
    """Return where the model comes from that `serving.model` names."""
    return Source(partial(load_predictor, config), partial(find_model, config))


def find_model(config: ServeConfig) -> Found:
    """Return what `load_bundle` would load.

    Raises:
        TrackingError: No version has the alias, or the registry does not answer.
    """
    if config.serving.model not in ALIASES:
        return find_in_folder(Path(config.serving.model))
    _, model = _aliased(config)
    return Found(f"version {model.version} of {model.name}", model)


def load_predictor(config: ServeConfig) -> Predictor:
    """Return the model that `serving.model` names, in the configured back end.

    Raises:
        TrackingError: No version has the alias, or it cannot be fetched.
        BundleError: The bundle is missing, damaged or not signed.
    """
    bundle, version = load_bundle(config)
    serving = config.serving
    return Predictor(
        bundle, version=version, backend=serving.backend, num_threads=serving.num_threads
    )


def load_bundle(config: ServeConfig) -> tuple[Bundle, str]:
    """Return the bundle that `serving.model` names, and its version.

    Raises:
        TrackingError: No version has the alias, or it cannot be fetched.
        BundleError: The bundle is missing, damaged or not signed.
    """
    load_signed = find_optional("load_signed", folder="deployment", name="signature")
    read = partial(load_signed, config=config) if load_signed else Bundle.load
    if config.serving.model not in ALIASES:
        bundle = read(Path(config.serving.model))
        return bundle, bundle.version
    registry, model = _aliased(config)
    return registry.load(model, read), model.version


def _aliased(config: ServeConfig) -> tuple[Registry, RegisteredModel]:
    registry = create_registry(config.tracking)
    name, alias = config.registry.model_name, config.serving.model
    model = registry.aliased(name, alias)
    if model is None:
        way_out = "run `make register`" if alias == "champion" else "set it in the registry"
        raise TrackingError(f"{name} has no {alias}; {way_out}")
    return registry, model
