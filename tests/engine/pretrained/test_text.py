"""A pretrained text model reads what transformers' own tokenizer and padding give it."""

from dataclasses import replace

import pytest
import torch
from toy_project.data.dataset import Split
from toy_project.data.encoder import encoder_class, encoder_settings
from toy_project.data.text import TextEncoder
from toy_project.rules import ConfigError
from transformers import AutoTokenizer

from .checkpoints import MAX_LENGTH
from .conftest import each_checkpoint, started

TEXTS = ["cat", "oak and rose", "a whale " * 20, "Granite, n17!"]


def fitted(folder: str, max_tokens: int = 12):
    values = {"name": "pretrained_text", "checkpoint": folder, "max_tokens": max_tokens}
    return encoder_class("pretrained_text").fit([], encoder_settings(values))


@each_checkpoint
def test_the_ids_are_those_of_the_tokenizer_plus_1(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        expected = tokenizer(text, truncation=True, max_length=12)["input_ids"]
        assert fitted(folder).encode({"text": text}) == [id + 1 for id in expected]


@each_checkpoint
def test_a_batch_gives_the_outputs_that_transformers_gives(folder, spec):
    tokenizer, model = AutoTokenizer.from_pretrained(folder), started(folder, spec).eval()
    split = Split.from_rows([spec.encoder.encode({"text": text}) for text in TEXTS], torch.zeros(4))
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=12, return_tensors="pt")
    assert (batch["attention_mask"] == 0).any()
    batch.pop("token_type_ids", None)
    with torch.inference_mode():
        outputs = model(split.inputs(torch.arange(4)))
        torch.testing.assert_close(outputs, model.network(**batch).logits, rtol=0, atol=1e-6)
    assert outputs.std(dim=0).min() > 1e-4  # the texts matter


@pytest.mark.parametrize("folder", ["gpt2"], indirect=True)
def test_a_decoder_without_padding_reads_each_text_of_a_batch_as_if_alone(folder, spec):
    assert AutoTokenizer.from_pretrained(folder).pad_token_id is None
    model, rows = started(folder, spec), [spec.encoder.encode({"text": text}) for text in TEXTS]
    model.eval()
    split = Split.from_rows(rows, torch.zeros(4))
    with torch.inference_mode():
        together = model(split.inputs(torch.arange(4)))
        alone = torch.cat([model(torch.tensor([row])) for row in rows])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    assert together.std(dim=0).min() > 1e-4


@pytest.mark.parametrize("length", [2, MAX_LENGTH + 1])
def test_a_length_that_the_model_cannot_read_is_refused(folder, length):
    message = rf"data.encoder.max_tokens must be in \[3, {MAX_LENGTH}\] for {folder}, got {length}"
    with pytest.raises(ConfigError, match=message):
        fitted(folder, length)


@each_checkpoint
def test_the_longest_text_is_read(folder, spec):
    encoder = fitted(folder, MAX_LENGTH)
    model = started(folder, replace(spec, encoder=encoder)).eval()
    inputs = torch.tensor([encoder.encode({"text": "whale " * 100})])
    assert inputs.shape == (1, MAX_LENGTH)
    assert model(inputs).isfinite().all()


def test_several_columns_are_joined(folder):
    joined, apart = {"text": "cat\ndog"}, {"text": {"title": "cat", "body": "dog"}}
    encoder = fitted(folder)
    assert encoder.encode(apart) == encoder.encode(joined)


def test_an_encoder_of_another_kind_is_refused(folder, spec):
    other = replace(spec, encoder=TextEncoder(8, ("a",)))
    message = "data.encoder.name must be pretrained_text for model=pretrained"
    with pytest.raises(ConfigError, match=message):
        started(folder, other)
