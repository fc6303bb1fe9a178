"""A thread that delivers what a run records, so that training never waits for a server."""

import logging
from threading import Event, Lock, Thread

from .base import TrackingError
from .delivery import Delivery, deliver_others
from .journal import Journal

log = logging.getLogger(__name__)

FIRST_INTERVAL_S = 1
"""Before the first delivery. Each interval is twice the one before."""
MAX_INTERVAL_S = 10
"""Between deliveries, which cost some milliseconds each."""
MAX_SILENT_INTERVAL_S = 60
"""Between tries to reach a server that does not answer."""
EXIT_WAIT_S = 4
"""What a run waits at its end, at most, for the rest to be delivered."""


class Forwarder(Thread):
    """Delivers a journal while it grows, then those that earlier runs left.

    A daemon, so that a request without an answer does not keep the process alive.
    """

    def __init__(self, journal: Journal, delivery: Delivery) -> None:
        super().__init__(name="tracking", daemon=True)
        self.journal = journal
        self.delivery = delivery
        self._is_ending = Event()
        self._is_delivering = Lock()
        self._has_warned = False
        self._has_others = True

    def run(self) -> None:
        """Deliver now and then; at the end of the run once more, and stop."""
        interval_s: float = FIRST_INTERVAL_S
        while not self._is_ending.wait(interval_s):
            is_answering = self._try_to_deliver()
            longest_s = MAX_INTERVAL_S if is_answering else MAX_SILENT_INTERVAL_S
            interval_s = min(2 * interval_s, longest_s)
            if self._is_ending.is_set() and not is_answering:
                return
        self._try_to_deliver()

    def flush(self) -> None:
        """Deliver all now.

        Raises:
            TrackingError: The server did not take it.
        """
        with self._is_delivering:
            self.delivery.deliver(self.journal)

    def finish(self, timeout_s: float = EXIT_WAIT_S) -> bool:
        """Deliver the rest, if that is possible in time; return whether the server has all."""
        self._is_ending.set()
        self.join(timeout_s)
        return not self.is_alive() and self.journal.is_delivered

    def _try_to_deliver(self) -> bool:
        try:
            self.flush()
        except TrackingError as error:
            self._warn(error)
            return False
        if self.journal.is_closed:  # the run did not wait for this request
            return False
        if self._has_warned:
            log.warning("the tracking server answers again: all is delivered")
        self._has_warned = False
        self._deliver_others()
        return True

    def _deliver_others(self) -> None:
        if not self._has_others:
            return
        self._has_others = False
        try:
            deliver_others(self.journal.folder)
        except TrackingError as error:
            log.warning("an earlier run is not delivered yet: %s", error)

    def _warn(self, error: TrackingError) -> None:
        if not self._has_warned:
            log.warning("%s. Training goes on; figures wait in %s", error, self.journal.folder)
        self._has_warned = True
