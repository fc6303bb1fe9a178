"""Batch prediction: write a model's predictions for the rows of a file to another file."""

from functools import partial

from .compose import stage
from .serving.config import PredictConfig


@stage(PredictConfig, "serve")
def main(config: PredictConfig) -> None:
    """Predict the rows of `input` and write them to `output`; a killed run continues."""
    from .serving.offline import predict_file
    from .serving.source import load_predictor

    predict_file(config, partial(load_predictor, config))


if __name__ == "__main__":
    main()
