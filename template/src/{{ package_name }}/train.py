"""Third stage: fit a model on the training split and write the best epoch's as models/bundle/."""

from .compose import stage
from .config import Config


@stage(Config)
def main(config: Config) -> None:
    """Train in the processes that `launcher` names."""
    # Heavy libraries only now: a wrong setting has ended in its line already.
    from .training.fit import fit
    from .training.launchers.base import start

    start(fit, config)


if __name__ == "__main__":
    main()
