"""First stage: write the dataset to data/raw/dataset.csv."""

import logging
import shutil
from pathlib import Path

from .artifacts import RAW_CSV, new_file
from .compose import stage
from .config import Config
from .data.rows import dataset_rows, write_csv
from .rules import ConfigError
from .running import running

log = logging.getLogger(__name__)


@stage(Config)
@running("fetch")
def main(config: Config) -> None:
    """Copy the CSV at `data.path`, or write the rows of data/<data.name>.py."""
    if config.data.path is None:
        rows = dataset_rows(config.data.name)
        with new_file(RAW_CSV) as new:
            number = write_csv(rows, new)
        log.info("%s: %d rows of %s", RAW_CSV, number, config.data.name)
        return
    source = Path(config.data.path)
    if not source.is_file():
        raise ConfigError(f"data.path must be a CSV file, got {config.data.path!r}")
    with new_file(RAW_CSV) as new:
        shutil.copyfile(source, new)
    log.info("%s: copied from %s", RAW_CSV, source)


if __name__ == "__main__":
    main()
