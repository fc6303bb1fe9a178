"""Handwritten digits (Alpaydin & Kaynak 1998, https://doi.org/10.24432/C50P49)."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from .rows import Values

WHITE = 16
"""The largest value of a pixel in scikit-learn's arrays."""
TRAITS = {"even": "02468", "prime": "2357", "loop": "0689"}
"""The digits with each trait."""


def rows() -> Iterator[Values]:
    """Yield the 1,797 images of 8x8 pixels that scikit-learn ships, as PNG."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for pixels, digit in zip(digits.images, map(str, digits.target), strict=True):
        yield {
            "image": _png(pixels),
            "label": digit,
            "number": float(digit),
            "traits": [name for name, those in TRAITS.items() if digit in those],
        }


def _png(pixels: np.ndarray) -> bytes:
    """Return the PNG of an array [height, width] of numbers from 0 to `WHITE`."""
    file = io.BytesIO()
    Image.fromarray(np.rint(pixels * 255 / WHITE).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
