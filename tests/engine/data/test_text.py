from toy_project.data.text import (
    TextEncoder,
    TextEncoderConfig,
    tokenize,
)


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
