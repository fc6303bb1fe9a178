"""The use of CPU, memory and GPU, sampled by a thread."""

from collections.abc import Callable, Mapping
from threading import Event, Thread

from . import server  # noqa: F401 (it sets MLflow's environment)

# isort: split
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

INTERVAL_S = 5
"""Between samples, unless MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL says another."""


class SystemMetrics(Thread):
    """Calls `log` with each sample of MLflow's monitors, which would wait for the server."""

    def __init__(self, run_id: str, log: Callable[[Mapping[str, float]], None]) -> None:
        super().__init__(name="system metrics", daemon=True)
        self.log = log
        self._sampler = SystemMetricsMonitor(run_id, INTERVAL_S)
        self._is_over = Event()

    @property
    def interval_s(self) -> float:
        """The time between samples."""
        return self._sampler.sampling_interval

    def run(self) -> None:
        """Sample until `finish` is called."""
        self._sampler.collect_metrics()  # use of the network counts from here
        while not self._is_over.wait(self.interval_s):
            self._sampler.collect_metrics()
            sample = self._sampler.aggregate_metrics()
            for monitor in self._sampler.monitors:
                monitor.clear_metrics()
            self.log({f"system/{name}": value for name, value in sample.items()})

    def finish(self) -> None:
        """Stop sampling."""
        self._is_over.set()
        self.join()
