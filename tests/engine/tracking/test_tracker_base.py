import pytest
from toy_project.config import TrackingConfig
from toy_project.rules import ConfigError
from toy_project.tracking.base import (
    RunStatus,
    Tracker,
    TrackingError,
    create_tracker,
)
from toy_project.tracking.registry import create_registry

from ..conftest import make_config


class DyingServer(Tracker):
    def finish(self, status: RunStatus = RunStatus.finished) -> None:
        raise TrackingError("the server is gone")


def test_no_tracking_records_nothing_and_has_no_registry(tmp_path):
    with create_tracker(TrackingConfig(name="none")).start("a name", run_id="a run") as tracker:
        tracker.log_config(make_config(), tags={})
        tracker.log_metrics({"loss": 1.0}, step=0)
        tracker.log_folder(tmp_path, "model")
        assert tracker.run_id is None
    with pytest.raises(TrackingError) as caught:
        create_registry(TrackingConfig(name="none"))
    assert str(caught.value) == "tracking=none has no registry; choose another tracker"


@pytest.mark.parametrize("name", ["nope", "base", "../none"])
def test_an_unknown_tracker_is_named(name):
    with pytest.raises(ConfigError, match=f"tracking.name must be a file .*, got '{name}'"):
        create_tracker(TrackingConfig(name=name))


def test_a_tracker_that_cannot_end_the_run_hides_no_error(caplog):
    with pytest.raises(ValueError, match="the reason"), DyingServer(TrackingConfig()):
        raise ValueError("the reason")
    assert caplog.messages == ["the server is gone"]
    with pytest.raises(TrackingError), DyingServer(TrackingConfig()):
        pass
