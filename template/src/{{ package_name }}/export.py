"""Write a trained model for other libraries: `python -m <package>.export hf`."""

import argparse
import logging
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .artifacts import BUNDLE, new_folder, require
from .compose import one_line_errors
from .data.pretrained import CONFIG, quieten
from .errors import ProjectError

if TYPE_CHECKING:
    from torch import nn

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

    Its softmax or sigmoid gives the bundle's confidences, and its numbers are those of the bundle:
    temperatures and units are in the last layer. Thresholds of labels are not exported.

    Raises:
        ProjectError: The model in the bundle is of this project's own making, its head cannot hold
            the unit of the targets, or `folder` holds something else than an exported model.
    """
    from .models.pretrained import Pretrained

    _require_replaceable(folder)
    quieten()
    model, objective = bundle.model, bundle.spec.objective
    if not isinstance(model, Pretrained):
        raise ProjectError(f"only model=pretrained can be exported, got {model.config.name}")
    network = deepcopy(model.network)
    _change_unit(network, objective)
    config = network.config
    config.problem_type = PROBLEM_TYPES.get(objective.name)
    about = objective.about()
    if names := about.get("labels") or about.get("targets"):
        config.id2label = dict(enumerate(names))
        config.label2id = {name: id for id, name in enumerate(names)}
    with new_folder(folder) as new:
        for name, content in bundle.spec.encoder.files().items():
            (new / name).write_bytes(content)
        network.save_pretrained(new)
    log.info("%s: %s with %s", folder, config.architectures[0], model.config.checkpoint)


def _require_replaceable(folder: Path) -> None:
    """Raise a ProjectError for a folder with other content than an exported model."""
    is_free = not folder.is_dir() or not any(folder.iterdir())
    if not folder.name or not (is_free or _is_exported(folder)):
        raise ProjectError(f"--folder must be new, empty or an exported model, got {folder}")


def _is_exported(folder: Path) -> bool:
    """Return whether there are weights beside a config of transformers."""
    config, weights = folder / CONFIG, folder.glob("model*.safetensors")
    return any(weights) and config.is_file() and b'"model_type"' in config.read_bytes()


def _change_unit(network: "nn.Module", objective: Any) -> None:
    """Let the last layer give numbers in the unit of the targets, or calibrated logits."""
    import torch

    temperature = getattr(objective, "temperature", 1.0)
    scales = torch.tensor(getattr(objective, "scales", (1 / temperature,)))
    means = torch.tensor(getattr(objective, "means", (0.0,)))
    *_, last = (one for one in network.modules() if isinstance(one, torch.nn.Linear))
    if last.bias is None and means.any():
        raise ProjectError("the model's head has no bias, which must hold the means of the targets")
    with torch.no_grad():
        last.weight.mul_(scales.unsqueeze(-1))
        if last.bias is not None:
            last.bias.mul_(scales).add_(means)


if __name__ == "__main__":
    main()
