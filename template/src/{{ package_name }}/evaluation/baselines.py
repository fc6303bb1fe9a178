"""What a model has to beat: the same split, with methods that need no training loop."""

import torch
from sklearn.pipeline import make_pipeline
from torch import Tensor

from ..data.rows import Row
from ..data.spec import DataSpec


def baselines(spec: DataSpec, train: list[Row], test: list[Row]) -> dict[str, Tensor]:
    """Return the scores that each baseline, fitted on `train`, gives to the rows of `test`.

    The encoder brings the features and the objective the estimators, of which the first needs none.
    """
    inputs, others = ([row.values for row in rows] for rows in (train, test))
    targets = spec.objective.encode(inputs).numpy()
    name_of_features, features = spec.encoder.features()
    (constant_name, constant), *rest = spec.objective.baselines().items()
    methods = {constant_name: constant} | {
        f"{name_of_features}_{name}": make_pipeline(features, estimator) for name, estimator in rest
    }
    scores = {}
    for name, method in methods.items():
        method.fit(inputs, targets)
        predict = getattr(method, "predict_proba", method.predict)
        scores[name] = torch.from_numpy(predict(others))
    return scores
