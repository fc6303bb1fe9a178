"""Delivers what earlier runs recorded while their tracking server was away.

`python -m <package>.tracking.mlflow.replay`, in the project's root. Exit code 1: something waits.
"""

import argparse
import logging
import sys
from pathlib import Path

from ..base import TrackingError
from .journal import journals

log = logging.getLogger(__name__)


def main() -> None:
    """Deliver all journals, and say of each what came of it."""
    argparse.ArgumentParser(description="Deliver what waits for the tracking server.").parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folders = journals()
    if not folders:
        log.info("nothing waits for the tracking server")
        return
    if not all([replay(folder) for folder in folders]):
        sys.exit(1)


def replay(folder: Path) -> bool:
    """Deliver the journal in `folder`, say what came of it, and return whether nothing waits."""
    from .delivery import deliver_folder

    try:
        delivered = deliver_folder(folder)
    except TrackingError as error:
        log.error("run %s: %s", folder.name, error)
        return False
    if delivered is None:
        log.info("run %s continues in another process, which delivers it", folder.name)
    elif folder.exists():
        log.info("run %s: %s delivered; it has not ended and may continue", folder.name, delivered)
    else:
        log.info("run %s: %s delivered", folder.name, delivered)
    return True


if __name__ == "__main__":
    main()
