"""Where a model comes from: a bundle's folder, or an alias of the registry; and what watches it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread
from typing import NamedTuple

from ..lookup import find_optional
from ..models.bundle import Bundle
from ..tracking.base import TrackingError
from ..tracking.registry import RegisteredModel, Registry, create_registry
from .config import ServeConfig
from .predictor import Predictor

ALIASES = ("champion", "challenger")
WATCHER_THREAD = "watcher"
"""The name of the thread that loads newer models."""
SETTLE_S = 0.5
"""For how long, or for an interval, a change must be the last one: a copy may be under way."""
MAX_INTERVAL_S = 60
"""Longest interval between attempts to reach a registry that does not answer."""

log = logging.getLogger(__name__)


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


class Watcher:
    """Looks at a source, in a thread of its own, and loads what it did not hold before.

    What cannot be loaded is refused, and not tried again until it changes. While a registry does
    not answer, the intervals between attempts grow.
    """

    def __init__(
        self,
        source: Source,
        *,
        accept: Callable[[Predictor, bool], None],
        refuse: Callable[[str, Exception], None],
        interval_s: float,
    ) -> None:
        """Look every `interval_s` seconds once started, or only once if that is 0.

        `accept` takes what was loaded, and whether it was `always` to be loaded; `refuse` takes a
        name and why that cannot be served.
        """
        self._source = source
        self._accept, self._refuse = accept, refuse
        self._interval_s = interval_s
        self._tried: Found | None = None
        self._loading = Lock()
        self._stopped = Event()

    def start(self) -> None:
        """Begin to look."""
        Thread(target=self._run, name=WATCHER_THREAD, daemon=True).start()

    def stop(self) -> None:
        """Stop looking."""
        self._stopped.set()

    def look(self, *, always: bool = False) -> None:
        """Load what the source holds if that has changed and no longer changes, or `always`.

        Raises:
            TrackingError: The registry does not answer, or has no version with the alias.
        """
        with self._loading:
            found = self._source.find()
            if not always and (found == self._tried or self._changes(found)):
                return
            try:
                self._accept(self._source.load(), always)
            except TrackingError:
                raise
            except Exception as error:  # a user's model may raise anything
                if not always and self._changes(found):
                    return
                self._refuse(found.name, error)
            self._tried = found

    def _changes(self, found: Found) -> bool:
        settle_s = min(SETTLE_S, self._interval_s)
        return self._stopped.wait(settle_s) or self._source.find() != found

    def _run(self) -> None:
        wait_s = self._interval_s
        while not self._stopped.is_set():
            try:
                self.look()
                wait_s = self._interval_s
            except Exception as error:  # a registry's client may raise anything
                if wait_s == self._interval_s:
                    log.warning("no newer model can be looked for, but attempts go on: %s", error)
                wait_s = max(self._interval_s, min(2 * wait_s, MAX_INTERVAL_S))
            if not self._interval_s or self._stopped.wait(wait_s):
                return
