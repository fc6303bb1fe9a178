"""Loads a model again when its source changes."""

import logging
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from ..tracking.base import TrackingError
from .source import Found, Source

if TYPE_CHECKING:
    from .predictor import Predictor

SETTLE_S = 0.5
"""For how long, or for an interval, a change must be the last one: a copy may be under way."""
MAX_INTERVAL_S = 60
"""Longest interval between attempts to reach a registry that does not answer."""

log = logging.getLogger(__name__)


class Watcher:
    """Looks at a source, in a thread of its own, and loads what it did not hold before.

    What cannot be loaded is refused, and not tried again until it changes. While a registry does
    not answer, the intervals between attempts grow.
    """

    def __init__(
        self,
        source: Source,
        *,
        accept: Callable[["Predictor", bool], None],
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
        Thread(target=self._run, name="watcher", daemon=True).start()

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
