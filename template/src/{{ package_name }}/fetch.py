"""First stage: write the dataset to data/raw/dataset.parquet."""

import logging

from .artifacts import RAW, new_file
from .compose import stage
from .config import Config
from .running import running

log = logging.getLogger(__name__)


@stage(Config)
@running("fetch")
def main(config: Config) -> None:
    """Write the rows of `data.path`, or of data/<data.name>.py."""
    from .data.reading import dataset
    from .data.rows import write_rows

    with new_file(RAW) as new:
        number = write_rows(dataset(config), new)
    rows = "row" if number == 1 else "rows"
    log.info("%s: %d %s of %s", RAW, number, rows, config.data.path or config.data.name)


if __name__ == "__main__":
    main()
