"""Third stage: train a model and write the weights of its best evaluation to models/bundle/."""

import os
from functools import partial

from .compose import stage
from .config import Config


@stage(Config)
def main(config: Config) -> None:
    """Train in the processes that `launcher` names."""
    # Import heavy libraries only now, so that a wrong setting is reported at once.
    from .training.fit import fit
    from .training.launchers import start

    # A manual run stops before it discards another run's checkpoints; under DVC it starts over.
    start(partial(fit, starts_over="DVC_STAGE" in os.environ), config)


if __name__ == "__main__":
    main()
