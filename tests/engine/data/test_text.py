import json
from random import Random

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from toy_project.data.text import (
    TextEncoder,
    TextEncoderConfig,
    Unit,
    tokenize,
)

MEALS = ("私は寿司を食べた", "ฉันกินข้าวผัดแล้ว", "我吃了一碗牛肉面")
TRIPS = ("電車で京都へ行った", "เราไปเที่ยวทะเลกัน", "他坐飞机去了北京")
HOSTILE = ("\ud800", "\0", "\u202e\u200d\ufeff", "e" + "\u0301" * 1000, "👩‍👩‍👧‍👦", "İ", "\r\n\t")


def fitted(*texts: str, min_count: int = 1) -> TextEncoder:
    """An encoder of at most three tokens."""
    settings = TextEncoderConfig(max_tokens=3, min_count=min_count)
    return TextEncoder.fit([{"text": text} for text in texts], settings)


def test_identifiers_come_apart():
    assert list(tokenize("readLine(max_size=3)")) == ["read", "line", "max", "size", "3"]
    assert list(tokenize("HTTPServer für Ü2")) == ["http", "server", "für", "ü", "2"]


def test_rare_and_new_tokens_are_unknown():
    encoder = fitted("a b a", "b c", min_count=2)
    assert encoder.encode({"text": "a c b a"}) == [2, 1, 3]


def test_a_text_without_tokens_is_one_unknown():
    assert fitted("a").encode({"text": " "}) == [1]


def test_json_keeps_the_encoder():
    encoder = fitted("b a")
    assert TextEncoder.from_dict(encoder.to_dict()) == encoder


def of_unit(unit: Unit, *texts: str, max_tokens: int = 100) -> TextEncoder:
    settings = TextEncoderConfig(unit=unit, max_tokens=max_tokens, min_count=1)
    return TextEncoder.fit([{"text": text} for text in texts], settings)


@pytest.mark.parametrize("text", [*MEALS, *TRIPS])
def test_a_language_without_spaces_has_characters_and_bytes(text):
    characters, in_bytes = (of_unit(unit, text) for unit in (Unit.character, Unit.byte))
    ids = characters.encode({"text": text})
    assert "".join(characters.tokens[id - 2] for id in ids) == text
    assert len(set(ids)) == len(set(text)) == characters.spec.num_embeddings - 2
    assert "".join(in_bytes.tokens[id - 2] for id in in_bytes.encode({"text": text})) == (
        text.encode().decode("latin-1")
    )


def test_characters_are_in_lower_case_and_new_ones_unknown():
    assert of_unit(Unit.character, "aab").encode({"text": "ABc"}) == [2, 3, 1]


def test_every_byte_is_known_and_frequent_ones_come_first():
    encoder = of_unit(Unit.byte, "bba")
    assert encoder.spec.num_embeddings == 258
    assert encoder.encode({"text": "ba"}) == [2, 3]
    assert 1 not in encoder.encode({"text": "".join(map(chr, range(0, 5000, 7)))})


@pytest.mark.parametrize("unit", Unit)
def test_any_text_has_ids_of_the_vocabulary(unit):
    encoder, random = of_unit(unit, *MEALS, "a", max_tokens=64), Random(0)
    drawn = ["".join(map(chr, random.choices(range(0x110000), k=k % 100))) for k in range(500)]
    for text in (*HOSTILE, *drawn):
        ids = encoder.encode({"text": text})
        assert 1 <= len(ids) <= 64
        assert all(1 <= id < encoder.spec.num_embeddings for id in ids)


@pytest.mark.parametrize("unit", [Unit.character, Unit.byte])
def test_json_keeps_the_unit(unit):
    encoder = of_unit(unit, *TRIPS)
    loaded = TextEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert loaded == encoder
    assert loaded.limits() == [f"It reads the first 100 {unit}s of a text."]


@pytest.mark.parametrize("unit", [Unit.character, Unit.byte])
def test_the_baseline_reads_parts_of_words(unit):
    name, transformer = of_unit(unit, *MEALS).features()["linear"]
    rows = [{"text": text * n} for text in (*MEALS, *TRIPS) for n in (1, 2)]
    labels = ["meal"] * 6 + ["trip"] * 6
    baseline = make_pipeline(transformer, LogisticRegression()).fit(rows, labels)
    assert name == "tfidf"
    assert list(baseline.predict([{"text": "寿司"}, {"text": "北京"}])) == ["meal", "trip"]


@pytest.mark.parametrize("unit", Unit)
def test_texts_of_several_columns_are_one(unit):
    encoder = of_unit(unit, "a title\na body")
    row = {"text": {"title": "a title", "note": None, "body": "a body"}}
    assert encoder.problem(row) == ""
    assert encoder.encode(row) == encoder.encode({"text": "a title\na body"})
    assert encoder.problem({"text": {"title": None, "body": " "}}) == "the text is empty"
