"""Sentences about fruits, labelled by their colour."""

from collections.abc import Iterator

from .rows import Values

FRUITS = {"red": ("cherry", "strawberry", "raspberry"), "yellow": ("banana", "lemon", "mango")}


def rows() -> Iterator[Values]:
    """Yield each sentence with its colour."""
    for colour, fruits in FRUITS.items():
        for number in range(60):
            text = f"{fruits[number % 3]} number {number} tastes good"
            yield {"text": text, "label": colour, "basket": f"{colour} {number // 4}"}
