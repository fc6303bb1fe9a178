import numpy as np
import pytest
import torch
from toy_project.models.base import evaluate, predict_outputs

from ..conftest import encoded


def test_outputs_come_in_the_order_of_the_rows(bundle, processed):
    split = encoded(processed, "test")
    outputs = predict_outputs(bundle.model, split)
    inputs, _ = split.batch(torch.tensor([5]))
    with torch.inference_mode():
        assert np.allclose(outputs[5:6], bundle.model(inputs), atol=1e-6)


def test_the_figures_are_the_objectives_metrics_and_its_loss(bundle, processed):
    split, objective = encoded(processed, "test"), bundle.spec.objective
    outputs = predict_outputs(bundle.model, split)
    figures = evaluate(bundle.model, objective, split)
    assert list(figures) == [*objective.metrics, "loss"]
    shares = torch.from_numpy(outputs).softmax(-1)
    by_hand = -shares[range(len(split)), split.targets].log().mean().item()
    assert figures["loss"] == pytest.approx(by_hand)
