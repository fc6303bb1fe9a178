"""Third stage: fit a model on the training split and write the best epoch's as models/bundle/."""

import os
from functools import partial

from .compose import stage
from .config import Config


@stage(Config)
def main(config: Config) -> None:
    """Train in the processes that `launcher` names."""
    # Heavy libraries only now: a wrong setting has ended in its line already.
    from .training.fit import fit
    from .training.launchers import start

    # A trial by hand asks before it drops what another one has left. The pipeline never waits.
    start(partial(fit, starts_over="DVC_STAGE" in os.environ), config)


if __name__ == "__main__":
    main()
