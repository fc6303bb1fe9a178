"""What `export hf` writes is a model that transformers loads, with the outputs of the bundle."""

import sys
from dataclasses import replace

import pytest
import torch
from toy_project import export
from toy_project.data.dataset import Split
from toy_project.data.text import TextEncoder
from toy_project.models.base import build_model
from toy_project.models.bundle import Bundle
from toy_project.objectives.classification import Classification
from toy_project.objectives.multilabel import Multilabel
from toy_project.objectives.regression import Regression
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from ..conftest import bundle_of
from .conftest import bundled, each_checkpoint, started

TEXTS = ["cat", "oak and rose", "a whale " * 20, "Granite, n17!"]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["export", *arguments])
    export.main()


@each_checkpoint
@pytest.mark.parametrize("finetune", ["full", "lora"])
def test_transformers_gives_the_outputs_of_the_bundle(
    workspace, folder, spec, finetune, monkeypatch
):
    model = started(folder, spec, finetune=finetune)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    bundled(model, spec).save(workspace / "models/bundle")
    run(monkeypatch, "hf")

    bundle = Bundle.load(workspace / "models/bundle")
    encoded = [bundle.spec.encoder.encode({"text": text}) for text in TEXTS]
    split = Split.from_rows(encoded, torch.zeros(len(TEXTS)))
    tokenizer = AutoTokenizer.from_pretrained("models/hf")
    network = AutoModelForSequenceClassification.from_pretrained("models/hf").eval()
    batch = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        expected = bundle.model(split.inputs(torch.arange(len(TEXTS))))
        torch.testing.assert_close(network(**batch).logits, expected, rtol=0, atol=1e-5)
    assert expected.std(dim=0).min() > 1e-3
    assert network.config.id2label == {0: "animals", 1: "plants", 2: "stones"}
    assert network.config.problem_type == "single_label_classification"


@each_checkpoint
@pytest.mark.parametrize(
    "objective",
    [
        Classification(("animals", "plants", "stones"), temperature=1.7),
        Multilabel(("animals", "plants", "stones"), thresholds=(0.5,) * 3),
        Regression(("size", "age"), means=(30.0, -2.0), scales=(9.0, 0.5)),
    ],
    ids=lambda objective: objective.name,
)
def test_the_pipeline_of_transformers_gives_what_the_objective_does(
    workspace, folder, spec, objective, monkeypatch
):
    """It picks softmax, sigmoid or nothing by the problem type in the config."""
    other = replace(spec, objective=objective)
    bundle = bundled(started(folder, other), other)
    bundle.save(workspace / "models/bundle")
    run(monkeypatch, "hf")
    encoded = torch.tensor([bundle.spec.encoder.encode({"text": "oak and rose"})])
    with torch.inference_mode():
        scores = objective.scores(bundle.model(encoded).numpy())
    if objective.name == "regression":  # in the unit of the targets
        _, scores = objective.compared(scores, scores)
    network = AutoModelForSequenceClassification.from_pretrained("models/hf")
    tokenizer = AutoTokenizer.from_pretrained("models/hf")
    classify = pipeline("text-classification", network, tokenizer=tokenizer, top_k=None)
    [answers] = classify(["oak and rose"])
    found = {one["label"]: one["score"] for one in answers}
    [names] = objective.about().values()
    assert [found[name] for name in names] == pytest.approx(scores[0].tolist(), abs=1e-5)


@pytest.mark.parametrize("folder", ["gpt2"], indirect=True)
def test_a_head_without_bias_is_exported_unless_the_targets_need_one(
    workspace, folder, spec, monkeypatch
):
    halved = replace(
        spec, objective=Classification(("animals", "plants", "stones"), temperature=2.0)
    )
    bundle = bundled(started(folder, halved), halved)
    bundle.save(workspace / "models/bundle")
    run(monkeypatch, "hf")
    network = AutoModelForSequenceClassification.from_pretrained("models/hf").eval()
    batch = AutoTokenizer.from_pretrained("models/hf")(TEXTS, padding=True, truncation=True)
    rows = [bundle.spec.encoder.encode({"text": text}) for text in TEXTS]
    split = Split.from_rows(rows, torch.zeros(4))
    with torch.inference_mode():
        logits = network(**batch.convert_to_tensors("pt")).logits
        expected = bundle.model(split.inputs(torch.arange(4))) / 2
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)

    other = replace(spec, objective=Regression(("size",), means=(30.0,), scales=(9.0,)))
    bundled(started(folder, other), other).save(workspace / "models/bundle")
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "hf", "--folder", "models/other")
    expected = "error: the model's head has no bias, which must hold the means of the targets"
    assert end.value.code == expected
    assert not (workspace / "models/other").exists()


@pytest.mark.parametrize("given", ["models", "models/bundle", "models/bundle/encoder", "."])
def test_a_folder_of_other_files_is_not_replaced(workspace, folder, spec, monkeypatch, given):
    bundled(started(folder, spec), spec).save(workspace / "models/bundle")
    before = {path: path.stat().st_ino for path in workspace.rglob("*")}
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "hf", "--folder", given)
    expected = f"error: --folder must be new, empty or an exported model, got {given}"
    assert end.value.code == expected
    assert {path: path.stat().st_ino for path in workspace.rglob("*")} == before


def test_an_empty_folder_and_an_exported_model_are_replaced(workspace, folder, spec, monkeypatch):
    bundled(started(folder, spec), spec).save(workspace / "models/bundle")
    (workspace / "empty").mkdir()
    for _ in range(2):
        run(monkeypatch, "hf", "--folder", "empty")
    assert (workspace / "empty/model.safetensors").exists()


def test_what_was_exported_can_be_trained_further(workspace, folder, spec, monkeypatch):
    model = started(folder, spec)
    bundled(model, spec).save(workspace / "models/bundle")
    run(monkeypatch, "hf", "--folder", "models/again")
    again = started("models/again", spec)
    for name, value in again.state_dict().items():
        assert value.equal(model.state_dict()[name]), name


def test_a_model_of_another_kind_is_refused_in_one_line(workspace, folder, spec, monkeypatch):
    other = replace(spec, encoder=TextEncoder(8, ("a",)))
    model = build_model({"name": "mlp"}, other)
    lineage = bundled(started(folder, spec), spec).lineage
    bundle_of(model, other, lineage=lineage).save(workspace / "models/bundle")
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "hf")
    assert end.value.code == "error: only model=pretrained can be exported, got mlp"


def test_there_must_be_a_bundle(workspace, monkeypatch):
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, "hf")
    expected = "error: models/bundle is missing; run `make train` first, or `make repro` for all"
    assert end.value.code == expected
