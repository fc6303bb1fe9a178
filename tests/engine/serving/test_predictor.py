from dataclasses import replace

import pytest
import torch
from toy_project.models.bundle import BundleError
from toy_project.serving.predictor import Predictor

ROWS = [{"text": "cat " * (1 + number * 7 % 19) + f"n{number}"} for number in range(50)]


def test_predictions_are_the_models_in_the_order_of_the_inputs(bundle):
    predictions = Predictor(bundle).predict(ROWS)
    for row, prediction in zip(ROWS, predictions, strict=True):
        with torch.inference_mode():
            logits = bundle.model(torch.tensor([bundle.spec.encoder.encode(row)]))[0]
        assert prediction.prediction == bundle.spec.objective.labels[logits.argmax()]
        assert prediction.confidence == pytest.approx(logits.softmax(-1).max().item(), abs=1e-5)


def test_nothing_is_predicted_of_nothing(bundle):
    assert Predictor(bundle).predict([]) == []


def test_the_number_of_threads_is_set(bundle):
    Predictor(bundle, num_threads=1)
    assert torch.get_num_threads() == 1


def test_the_version_is_the_registrys_or_the_bundles(bundle):
    assert Predictor(bundle).version == bundle.version
    assert Predictor(bundle, version="3").version == "3"


def test_a_model_that_answers_nan_is_refused(bundle, bundle_folder):
    broken = type(bundle).load(bundle_folder)
    with torch.no_grad():
        next(broken.model.parameters()).fill_(torch.nan)
    with pytest.raises(BundleError, match="NaN or infinity; train the model again"):
        Predictor(replace(bundle, model=broken.model))
