"""Second stage: check the rows, split them and write tensors to data/processed/."""

import logging

from .artifacts import PROCESSED, RAW, new_folder, require
from .compose import stage
from .config import Config
from .running import running

log = logging.getLogger(__name__)


@stage(Config)
@running("preprocess")
def main(config: Config) -> None:
    """Turn data/raw/dataset.parquet into splits and a spec."""
    from .data.preprocessing import preprocess
    from .data.spec import save_settings

    processed = preprocess(require(RAW, stage="fetch"), config)
    with new_folder(PROCESSED) as new:
        processed.save(new)
        save_settings(new, config)
    for name, rows in processed.rows.items():
        log.info("%-10s %6d rows", name, len(rows))


if __name__ == "__main__":
    main()
