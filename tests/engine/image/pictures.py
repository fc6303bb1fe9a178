"""Files of images, made in memory."""

import io
from typing import Any

import numpy as np
from PIL import Image
from toy_project.data.image import ImageEncoder, ImageEncoderConfig

DRAW = np.random.default_rng(0)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return the content of an image's file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(width: int = 9, height: int = 7, mode: str = "RGB") -> Image.Image:
    """Return an image of random pixels."""
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(DRAW.integers(0, 256, shape, dtype=np.uint8))


def encoder(*contents: bytes, **settings: Any) -> ImageEncoder:
    """Return an encoder that was fitted to files."""
    rows = [{"image": content} for content in contents]
    return ImageEncoder.fit(rows, ImageEncoderConfig(**settings))
