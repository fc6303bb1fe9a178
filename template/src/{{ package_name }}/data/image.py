"""Images as arrays of one size."""

import base64
import binascii
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..rules import Checked, PositiveInt, Rule, require, within
from .encoder import Encoder, Field
from .rows import Values

FILE_FORMATS, REQUEST_FORMATS = ("PNG", "JPEG", "TIFF"), ("PNG", "JPEG")
MAX_SIDE = 4096
MAX_BASELINE_SIDE = 32
"""Pixels of each side of the images that a baseline gets, at most."""

Side = Annotated[int, within(1, MAX_SIDE)]
SIZE = Rule(
    f"a number in [1, {MAX_SIDE}], or two: [height, width]",
    lambda size: len(_sides(size)) == 2 and all(1 <= side <= MAX_SIDE for side in _sides(size)),
)


class Mode(StrEnum):
    """The channels of an image, in the names of Pillow."""

    grey = "L"
    colour = "RGB"


@dataclass(frozen=True)
class ImageEncoderConfig(Checked, section="data.encoder"):
    """How an image becomes an array."""

    name: str = "image"
    """This file."""
    size: Annotated[int | list[int], SIZE] = 64
    """Pixels of each side, or [height, width]; images are resized to it."""
    mode: Mode = Mode.colour
    """`L` for one channel, `RGB` for three; images are converted to it."""
    max_pixels: PositiveInt = 2**24
    """Pixels of an image in a request, at most; a larger one is refused before it is decoded."""


@dataclass(frozen=True)
class ImageSpec:
    """What a model needs to know about its inputs."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    """Of each channel in the training split, where 1 is the brightest value."""
    std: tuple[float, ...]
    """Standard deviation of each channel."""


@dataclass(frozen=True)
class ImageEncoder(Encoder):
    """Resizes an image and gives its bytes.

    Turned as its EXIF orientation says; on white where it is transparent; CMYK and palettes become
    RGB; 16 bits lose the lower 8; of several frames or pages the first is taken.
    """

    settings: ClassVar = ImageEncoderConfig
    columns: ClassVar = ("image",)

    mode: Mode
    height: Side
    width: Side
    max_pixels: PositiveInt
    """Of an image in a request."""
    mean: tuple[float, ...]
    """Of each channel in the training split, where 1 is the brightest value."""
    std: tuple[float, ...]
    """Standard deviation of each channel."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, values in (("mean", self.mean), ("std", self.std)):
            are_good = len(values) == len(self.mode) and all(map(math.isfinite, values))
            require(are_good, f"encoder.{name}", "a number for each channel", values)
        require(min(self.std) > 0, "encoder.std", "> 0", self.std)

    @staticmethod
    def problem(values: Values) -> str:
        """Return why the image cannot be decoded, or an empty string."""
        if not values["image"]:
            return "the image is empty"
        try:
            _decoded(values["image"], FILE_FORMATS)
        except ValueError as error:
            return str(error)
        return ""

    @property
    def example(self) -> Values:
        """A black image."""
        file = io.BytesIO()
        Image.new(self.mode, (self.width, self.height)).save(file, "PNG")
        return {"image": file.getvalue()}

    def fields(self) -> Mapping[str, Field]:
        """Return the two fields of a request, of which it has one."""
        pixel = float if self.mode is Mode.grey else list[float]
        optional = {"default": None}
        about = "rows of numbers from 0 to 255" if pixel is float else "rows of [red, green, blue]"
        return {
            "image": Field(str | None, {**optional, "description": "a PNG or JPEG in base64"}),
            "pixels": Field(list[list[pixel]] | None, {**optional, "description": about}),
        }

    def row(self, request: Mapping[str, Any]) -> Values:
        """Return the image of a request as the array that `encode` returns.

        Raises:
            ValueError: It is no image, is too large, or has pixels out of range.
        """
        content, pixels = request.get("image"), request.get("pixels")
        if (content is None) == (pixels is None):
            raise ValueError("give either image or pixels")
        image = self._drawn(pixels) if content is None else self._opened(content)
        return {"image": self._array(image)}

    @classmethod
    def fit(cls, rows: Iterable[Values], settings: ImageEncoderConfig) -> Self:
        """Return an encoder with the mean and deviation of each channel, over all pixels."""
        height, width = _sides(settings.size)
        channels = len(settings.mode)
        encoder = cls(
            settings.mode, height, width, settings.max_pixels, (0.0,) * channels, (1.0,) * channels
        )
        sums, squares, number = np.zeros(channels), np.zeros(channels), 0
        for row in rows:
            pixels = encoder.encode(row).reshape(channels, -1) / 255
            sums += pixels.sum(axis=1)
            squares += np.square(pixels).sum(axis=1)
            number += pixels.shape[1]
        mean = sums / max(number, 1)
        variance = squares / max(number, 1) - np.square(mean)
        # A channel of one value has no deviation to divide by.
        std = np.where(variance > 1e-8, np.sqrt(variance.clip(min=1e-8)), 1.0)
        return replace(encoder, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    @property
    def spec(self) -> ImageSpec:
        """The shape of an image and the distribution of its values."""
        return ImageSpec(len(self.mode), self.height, self.width, self.mean, self.std)

    def encode(self, values: Values) -> np.ndarray:
        """Return an image as uint8 [channels, height, width]."""
        image = values["image"]
        if isinstance(image, np.ndarray):  # of `row`
            return image
        return self._array(_decoded(image, FILE_FORMATS, side=max(self.height, self.width)))

    def features(self) -> Mapping[str, tuple[str, Any]]:
        """Return the pixels of the image, made small where it is large."""
        from sklearn.preprocessing import FunctionTransformer

        sides = (min(side, MAX_BASELINE_SIDE) for side in (self.height, self.width))
        small = replace(self, **dict(zip(("height", "width"), sides, strict=True)))
        pixels = FunctionTransformer(
            lambda rows: np.stack([small.encode(row).ravel() / np.float32(255) for row in rows])
        )
        return {"linear": ("pixels", pixels)}

    def shown(self, values: Values) -> Mapping[str, Any]:
        """Return nothing: the id of a row names the file."""
        return {}

    def limits(self) -> list[str]:
        """Return a sentence about the size at which an image is seen."""
        colours = "without colours" if self.mode is Mode.grey else "in colour"
        return [f"It sees an image {colours}, as {self.width} x {self.height} pixels."]

    def _opened(self, text: str) -> Image.Image:
        """Return the image of a request's base64."""
        try:
            content = base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError(f"image is not base64: {error}") from error
        side = max(self.height, self.width)
        return _decoded(content, REQUEST_FORMATS, side=side, max_pixels=self.max_pixels)

    def _drawn(self, pixels: Any) -> Image.Image:
        """Return the image of a request's rows of pixels."""
        shape = "[[number]]" if self.mode is Mode.grey else "[[[red, green, blue]]]"
        try:
            values = np.array(pixels, dtype=np.float64)  # [height, width] or [height, width, 3]
        except (TypeError, ValueError) as error:
            raise ValueError(f"pixels must be {shape}, with rows of one length") from error
        is_shaped = values.shape[2:] == (() if self.mode is Mode.grey else (3,)) and values.size
        if not is_shaped or values.ndim < 2:
            raise ValueError(f"pixels must be {shape}, got an array of shape {list(values.shape)}")
        if not ((values >= 0) & (values <= 255)).all():
            raise ValueError("pixels must be in [0, 255]")
        _require_few(values.shape[0] * values.shape[1], self.max_pixels)
        return Image.fromarray(np.rint(values).astype(np.uint8))

    def _array(self, image: Image.Image) -> np.ndarray:
        """Return the resized image as uint8 [channels, height, width]."""
        size = self.width, self.height
        image = image.convert(self.mode).resize(size, Image.Resampling.BILINEAR)
        pixels = np.asarray(image).reshape(self.height, self.width, -1)
        return pixels.transpose(2, 0, 1).copy()  # [channels, height, width]


def _sides(size: int | list[int]) -> tuple[int, ...]:
    """Return height and width."""
    return (size, size) if isinstance(size, int) else tuple(size)


def _require_few(num_pixels: int, max_pixels: int) -> None:
    if num_pixels > max_pixels:
        raise ValueError(f"the image has {num_pixels:,} pixels; at most {max_pixels:,} are read")


def _decoded(
    content: bytes, formats: tuple[str, ...], *, side: int = MAX_SIDE, max_pixels: int | None = None
) -> Image.Image:
    """Return an image of mode L or RGB, the right way up.

    A JPEG much larger than `side` is decoded at a fraction of its size, which is faster.

    Raises:
        ValueError: It cannot be used; the message says why.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=formats)  # reads the header alone
        if max_pixels is not None:
            _require_few(image.width * image.height, max_pixels)
        image.draft(None, (side, side))
        return _opaque(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise ValueError(f"the image is not {' or '.join(formats)}") from error
    except Exception as error:  # decoders raise errors of many types
        raise ValueError(f"the image cannot be read: {error!s:.200}") from error


def _opaque(image: Image.Image) -> Image.Image:
    """Return the image with 8 bits a channel and without transparency."""
    if image.mode.startswith("I;16"):  # `convert` would make all that is not black white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its values (Pillow's mode {image.mode}) have no fixed range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == Mode.grey else image.convert(Mode.colour)
