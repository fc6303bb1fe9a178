"""Write a trained model for other libraries: `python -m <package>.export hf`."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from .artifacts import BUNDLE, new_folder, require
from .compose import one_line_errors
from .errors import ProjectError

if TYPE_CHECKING:
    from .models.bundle import Bundle

log = logging.getLogger(__name__)

FOLDER = Path("models/hf")
PROBLEM_TYPES = {
    "classification": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
}
"""transformers' name for an objective, which decides the loss of its own trainer."""


def main() -> None:
    """Write the bundle into a folder that `from_pretrained` of transformers loads."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("format", choices=["hf"], help="a folder for Hugging Face's transformers")
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help=f"default: {BUNDLE}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    given = parser.parse_args()
    with one_line_errors():
        from .models.bundle import Bundle

        export_hf(Bundle.load(require(given.bundle, stage="train")), given.folder)


def export_hf(bundle: "Bundle", folder: Path) -> None:
    """Write weights, config, tokenizer or image processor of a pretrained model.

    The model in the folder returns the bundle's outputs. What the objective makes of them is not
    exported, except for the names of the labels.

    Raises:
        ProjectError: The model in the bundle is of this project's own making.
    """
    from .data.pretrained import quieten
    from .models.pretrained import Pretrained

    quieten()
    model, objective = bundle.model, bundle.spec.objective
    if not isinstance(model, Pretrained):
        raise ProjectError(f"only model=pretrained can be exported, got {model.config.name}")
    config = model.network.config
    config.problem_type = PROBLEM_TYPES.get(objective.name)
    if labels := objective.about().get("labels"):
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: id for id, label in enumerate(labels)}
    with new_folder(folder) as new:
        for name, content in bundle.spec.encoder.files().items():
            (new / name).write_bytes(content)
        model.network.save_pretrained(new)
    log.info("%s: %s with %s", folder, config.architectures[0], model.config.checkpoint)


if __name__ == "__main__":
    main()
