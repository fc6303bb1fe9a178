"""Second stage: check the rows, split them and write tensors to data/processed/."""

import logging

from .artifacts import PROCESSED, RAW_CSV, new_folder, require
from .compose import stage
from .config import Config
from .running import running

log = logging.getLogger(__name__)


@stage(Config)
@running("preprocess")
def main(config: Config) -> None:
    """Turn data/raw/dataset.csv into splits and a spec."""
    from .data.preprocessing import preprocess, read_rows
    from .data.spec import save_settings

    rows = read_rows(require(RAW_CSV, stage="fetch"), config)
    processed = preprocess(rows, config)
    with new_folder(PROCESSED) as new:
        processed.save(new, group_column=config.data.columns.get("group", "group"))
        save_settings(new, config)
    kept = sum(map(len, processed.rows.values()))
    log.info("%d rows, %d exact duplicates removed", kept, len(rows) - kept)
    for name, split in processed.rows.items():
        log.info("%-10s %6d rows, %4d groups", name, len(split), len({row.group for row in split}))


if __name__ == "__main__":
    main()
