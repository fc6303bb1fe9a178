"""A dataset of a few rows: more of one label than of the other, and rows that share a module."""

from collections.abc import Iterator
from typing import Any


def rows() -> Iterator[dict[str, Any]]:
    """Yield texts of 2 to 9 words, of which a few occur once."""
    for number in range(36):
        label, words = ("vowel", "aeiou") if number % 3 == 0 else ("consonant", "bcdfg")
        text = " ".join(words[number * (place + 1) % 5] for place in range(2 + number % 8))
        labels = [label, "odd"] if number % 2 else [label]
        others = {"target": number % 7, "labels": labels, "module": f"{label}{number // 6}"}
        yield {"text": f"{text} n{number}", "label": label, **others}
