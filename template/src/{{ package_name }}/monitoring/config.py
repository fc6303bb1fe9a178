"""The settings of the prediction log and of its report."""

from dataclasses import dataclass
from typing import Annotated

from ..rules import Checked, Name, NonNegativeFloat, PositiveFloat, PositiveInt, Rule

Share = Annotated[float, Rule("in (0, 1]", lambda share: 0 < share <= 1)]


@dataclass(frozen=True)
class MonitoringConfig(Checked, section="monitoring"):
    """What is recorded of predictions, and what the report warns of."""

    folder: Name = "logs"
    """Where the log is, and a summary of the newest report. Several servers may share it."""
    sample_share: Share = 1.0
    """The share of requests that are recorded."""
    features: bool = True
    """Record the features whose drift is reported: lengths of a text, brightness of an image. Those
    of a table are its columns. Without them, a record has nothing but a hash of the input."""
    inputs: bool = False
    """Record the inputs of texts and tables themselves."""
    max_waiting: PositiveInt = 1024
    """Predictions and labels that wait to be written; more are dropped and counted, so that no
    request is slowed."""
    max_bytes: PositiveInt = 64_000_000
    """Size of the predictions, about, and of the labels; the oldest files of both are deleted."""
    max_files: PositiveInt = 64
    """Files of each of the two, of a 16th of `max_bytes` or less."""
    days: PositiveFloat = 30.0
    """How far back the report goes."""
    min_rows: PositiveInt = 100
    """Rows without which nothing is said to drift, or to be worse than promised."""
    max_psi: PositiveFloat = 0.25
    """Population stability index above which a feature drifts, if the test agrees."""
    max_p_value: Share = 0.01
    """The two-sample test agrees below this probability."""
    max_loss: NonNegativeFloat = 0.1
    """How much worse than promised the objective's first metric may be, as a share of that."""
    feedback: str | None = None
    """A file with the columns `id` and `label`, in addition to what POST /feedback brought."""
