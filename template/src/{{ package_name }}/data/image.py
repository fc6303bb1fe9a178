"""Images as arrays of one size."""

import io
import math
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from ..rules import Checked, PositiveInt, Rule, require, within
from .encoder import Encoder, Field, files_in
from .rows import Values

FILE_FORMATS, REQUEST_FORMATS = ("PNG", "JPEG", "TIFF"), ("PNG", "JPEG")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MAX_SIDE = 4096
MAX_SCANS = 32
"""Scans of a progressive JPEG in a request, at most. To decode one of 30 bytes takes as long as a
whole image. Encoders write about ten."""
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
"""How a PNG begins. Its width and height follow, of four bytes each."""
MAX_SMALL_PIXELS = 64 * 64
"""Of a PNG that is decoded in less time than a thread needs to begin."""
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
    row_is_slow: ClassVar = True

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

    @classmethod
    def read_folder(cls, folder: Path) -> Iterator[tuple[str, Values]] | None:
        """Yield the images of each folder in `folder`, whose name is their label."""
        folders = (path for path in folder.iterdir() if path.is_dir())
        labels = sorted(path for path in folders if not path.name.startswith("."))
        files = (path for label in labels for path in files_in(label))
        if len(labels) < 2 or not any(path.suffix.lower() in SUFFIXES for path in files):
            return None
        return (
            (path.as_posix(), {"image": path.read_bytes(), "label": label.name})
            for label in labels
            for path in files_in(label)
        )

    @classmethod
    def load(cls, values: Values, folder: Path) -> Values:
        """Return the row with the file that `image` names, relative to `folder`, and its content.

        Raises:
            ValueError: It cannot be read.
        """
        image = values["image"]
        if not isinstance(image, str):
            return values
        try:
            return {**values, "image": (folder / image).read_bytes(), "file": image}
        except OSError as error:
            raise ValueError(f"{image} cannot be read ({error.strerror})") from error

    @staticmethod
    def problem(values: Values) -> str:
        """Return why the image cannot be decoded, or an empty string."""
        if not values["image"]:
            return "the image is empty"
        try:
            _decoded(values["image"], FILE_FORMATS)
        except ValueError as error:
            return f"{values['file']}: {error}" if "file" in values else str(error)
        return ""

    @property
    def example(self) -> Values:
        """A white ring on black."""
        width, height = self.width, self.height
        image, file = Image.new(self.mode, (width, height)), io.BytesIO()
        box = width // 4, height // 8, width - 1 - width // 4, height - 1 - height // 8
        ImageDraw.Draw(image).ellipse(box, outline="white", width=max(1, width // 8))
        image.save(file, "PNG")
        return {"image": file.getvalue()}

    def fields(self) -> Mapping[str, Field]:
        """Return the two fields of a request, of which it has one."""
        pixel = Field(float, {"ge": 0, "le": 255})
        pixel = pixel if self.mode is Mode.grey else Field([pixel], {"description": "RGB"})
        about = {"description": "rows of pixels from 0 to 255", "max_length": MAX_SIDE}
        return {
            "image": Field(bytes, {"description": "a PNG or JPEG"}, required=False),
            "pixels": Field([Field([pixel], {"max_length": MAX_SIDE})], about, required=False),
        }

    def row(self, request: Mapping[str, Any]) -> Values:
        """Return the image of a request as the array that `encode` returns.

        Raises:
            ValueError: It is no image, is too large, or has pixels out of range.
        """
        content, pixels = request.get("image"), request.get("pixels")
        if (content is None) == (pixels is None):
            raise ValueError("give either image or pixels")
        if content is None:
            return {"image": self._array(_drawn(pixels, self.mode))}
        return {"image": self._read(content, REQUEST_FORMATS, max_pixels=self.max_pixels)}

    def is_small(self, request: Mapping[str, Any]) -> bool:
        """Return whether the image has few pixels, by the head of a PNG."""
        content = request.get("image")
        if content is None:
            return True
        width, height = (int.from_bytes(content[start : start + 4]) for start in (16, 20))
        return content.startswith(PNG) and width * height <= MAX_SMALL_PIXELS

    def request(self, values: Values) -> Mapping[str, Any]:
        """Return the request with the file in base64."""
        return {"image": b64encode(values["image"]).decode()}

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
        return self._read(image, FILE_FORMATS)

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
        """Return the file that a table names; that of other rows is their id."""
        return {"file": values["file"]} if "file" in values else {}

    def measures(self, values: Values) -> Mapping[str, float]:
        """Return brightness, contrast and sharpness, as shares of the brightest value."""
        pixels = self.encode(values).mean(axis=0) / 255  # [height, width]
        edges = np.abs(np.diff(pixels)).mean() if self.width > 1 else 0.0
        found = {"brightness": pixels.mean(), "contrast": pixels.std(), "sharpness": edges}
        return {name: round(float(one), 5) for name, one in found.items()}

    def limits(self) -> list[str]:
        """Return a sentence about the size at which an image is seen."""
        colours = "without colours" if self.mode is Mode.grey else "in colour"
        return [f"It sees an image {colours}, as {self.width} x {self.height} pixels."]

    def _read(
        self, content: bytes, formats: tuple[str, ...], *, max_pixels: int | None = None
    ) -> np.ndarray:
        side = max(self.height, self.width)
        return self._array(_decoded(content, formats, side=side, max_pixels=max_pixels))

    def _array(self, image: Image.Image) -> np.ndarray:
        """Return the resized image as uint8 [channels, height, width]."""
        size = self.width, self.height
        image = image.convert(self.mode).resize(size, Image.Resampling.BILINEAR)
        pixels = np.asarray(image).reshape(self.height, self.width, -1)
        return pixels.transpose(2, 0, 1).copy()  # [channels, height, width]


def _sides(size: int | list[int]) -> tuple[int, ...]:
    """Return height and width."""
    return (size, size) if isinstance(size, int) else tuple(size)


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
            _check_cost(image, content, max_pixels)
        image.draft(None, (side, side))
        return _opaque(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise ValueError(f"the image is not {' or '.join(formats)}") from error
    except Exception as error:  # decoders raise errors of many types
        raise ValueError(f"the image cannot be read: {error!s:.200}") from error


def _check_cost(image: Image.Image, content: bytes, max_pixels: int) -> None:
    """Raise a ValueError if it would take long to decode a small file."""
    if image.width * image.height > max_pixels:
        raise ValueError(f"{image.width} x {image.height} pixels are more than {max_pixels:,}")
    if image.format == "JPEG" and (num_scans := content.count(b"\xff\xda")) > MAX_SCANS:
        raise ValueError(f"the JPEG has {num_scans} scans, more than {MAX_SCANS}")


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


def _drawn(pixels: Any, mode: Mode) -> Image.Image:
    """Return the image of rows of pixels.

    Raises:
        ValueError: They do not form a rectangle.
    """
    shape = "numbers" if mode is Mode.grey else "[red, green, blue]"
    try:
        values = np.array(pixels, dtype=np.float64)  # [height, width] or [height, width, 3]
    except ValueError as error:
        raise ValueError(f"pixels must be rows of one length, of {shape}") from error
    if not values.size or values.shape[2:] != (() if mode is Mode.grey else (len(mode),)):
        raise ValueError(f"pixels must be rows of {shape}, got the shape {list(values.shape)}")
    return Image.fromarray(np.rint(values).astype(np.uint8))
