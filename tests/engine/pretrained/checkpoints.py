"""Checkpoints of a few random weights, as `save_pretrained` writes them. No hub is asked."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    ConvNextConfig,
    ConvNextImageProcessorPil,
    ConvNextModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

WORDS = (
    *("cat", "dog", "horse", "sparrow", "whale", "oak", "rose", "fern", "moss", "birch"),
    *("granite", "basalt", "marble", "slate", "flint", "n"),
)
"""Those of the miniature dataset."""
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
MAX_LENGTH = 24
"""Tokens of the longest text that a checkpoint reads."""
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def bert(folder: Path) -> None:
    """Write a BERT, whose padding is 0, without the pooler that a masked one lacks too."""
    _seed()
    tokenizer = word_tokenizer("[PAD]", "[UNK]", "[CLS]", "[SEP]", padding=0)
    config = BertConfig(vocab_size=len(tokenizer), **SIZES, max_position_embeddings=24)
    _save(folder, BertModel(config, add_pooling_layer=False), tokenizer)


def roberta(folder: Path) -> None:
    """Write a RoBERTa, whose padding is 1, which its positions are counted from."""
    _seed()
    tokenizer = word_tokenizer("<pad>", "<unk>", "<s>", "</s>", padding=1)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        **SIZES,
        max_position_embeddings=26,
        pad_token_id=1,
    )
    _save(folder, RobertaModel(config), tokenizer)


def distilbert(folder: Path) -> None:
    """Write a DistilBERT, whose config has names of its own."""
    _seed()
    tokenizer = word_tokenizer("[PAD]", "[UNK]", "[CLS]", "[SEP]", padding=0)
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=24,
        n_layers=3,
        n_heads=2,
        dim=16,
        hidden_dim=32,
    )
    _save(folder, DistilBertModel(config), tokenizer)


def gpt2(folder: Path) -> None:
    """Write a GPT-2, a decoder: without a token for padding, and with no bias in its head."""
    _seed()
    words = word_tokenizer("[PAD]", "[UNK]", "[CLS]", "[END]", padding=0).backend_tokenizer
    words.post_processor = processors.TemplateProcessing(single="$A")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", eos_token="[END]", model_max_length=MAX_LENGTH
    )
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=24,
        n_embd=16,
        n_layer=3,
        n_head=2,
        bos_token_id=end,
        eos_token_id=end,
    )
    _save(folder, GPT2Model(config), tokenizer)


def word_tokenizer(
    pad: str, unknown: str, start: str, end: str, *, padding: int
) -> PreTrainedTokenizerFast:
    """Return a tokenizer of the words of the miniature dataset, and of characters."""
    special = [unknown, pad] if padding else [pad, unknown]
    pieces = [*WORDS, *CHARACTERS, *(f"##{one}" for one in CHARACTERS)]
    vocabulary = {
        token: id for id, token in enumerate(dict.fromkeys([*special, start, end, *pieces]))
    }
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        special_tokens=[(start, vocabulary[start]), (end, vocabulary[end])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token=unknown,
        cls_token=start,
        sep_token=end,
        model_max_length=MAX_LENGTH,
    )


def _seed() -> None:
    torch.manual_seed(0)


def _save(folder: Path, model: Any, *parts: Any) -> None:
    # Larger weights than those of a fresh model, so that the inputs matter.
    for parameter in model.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.2)
    for part in (model, *parts):
        part.save_pretrained(folder)


TEXT = {"bert": bert, "roberta": roberta, "distilbert": distilbert}


def vit(folder: Path) -> None:
    """Write a ViT, without the pooler, and its processor, which resizes to 16 x 16."""
    _seed()
    config = ViTConfig(**SIZES, image_size=16, patch_size=8)
    processor = ViTImageProcessorPil(size={"height": 16, "width": 16})
    _save(folder, ViTModel(config, add_pooling_layer=False), processor)


def convnext(folder: Path) -> None:
    """Write a ConvNeXt, whose layers are in stages, and its processor, which crops 16 of 18."""
    _seed()
    config = ConvNextConfig(hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 2, 1], image_size=32)
    processor = ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=0.875)
    _save(folder, ConvNextModel(config), processor)


IMAGE = {"vit": vit, "convnext": convnext}
ALL = TEXT | IMAGE | {"gpt2": gpt2}
