"""Images as a pretrained model's own image processor makes them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from PIL import Image

from ..rules import Checked, ConfigError, Name, PositiveInt
from .image import ImageEncoder, ImageSpec, Mode
from .pretrained import (
    SETTINGS_FILES,
    PretrainedEncoder,
    PretrainedSpec,
    checkpoint_folder,
    saved_files,
)
from .rows import Values

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PretrainedImageConfig(Checked, section="data.encoder"):
    """How an image becomes an array."""

    name: str = "pretrained_image"
    """This file."""
    checkpoint: Name = "google/vit-base-patch16-224-in21k"
    """The pretrained model: a folder, or the id of a model on the hub."""
    max_pixels: PositiveInt = 2**24
    """Pixels of an image in a request, at most; a larger one is refused before it is decoded."""


@dataclass(frozen=True)
class PretrainedImageSpec(ImageSpec, PretrainedSpec):
    """The checkpoint's architecture, the shape and the scale of its inputs."""

    head: ClassVar = "AutoModelForImageClassification"

    def arguments(self, inputs: "Tensor") -> "dict[str, Tensor]":
        """Return the pixels that the model reads, of bytes [batch, channels, height, width]."""
        pixels = inputs.float() / 255
        mean, std = (pixels.new_tensor(each).view(-1, 1, 1) for each in (self.mean, self.std))
        return {"pixel_values": (pixels - mean) / std}


@dataclass(frozen=True)
class PretrainedImageEncoder(PretrainedEncoder, ImageEncoder):
    """Resizes and crops an image with the checkpoint's processor.

    `mean` and `std` are the processor's, where 1 is the brightest value. The model subtracts and
    divides, so that images are kept as bytes.
    """

    settings: ClassVar = PretrainedImageConfig

    @classmethod
    def fit(cls, rows: Iterable[Values], settings: Any) -> Self:
        """Return an encoder with the checkpoint's processor; it learns nothing from the rows.

        Raises:
            ConfigError: The checkpoint cannot be loaded, or its processor does more than to resize,
                crop, rescale and normalise.
        """
        from transformers import AutoConfig

        with checkpoint_folder(settings.checkpoint, SETTINGS_FILES) as folder:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            processor = _processor(folder)
            noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
            pixels = _pixels(processor, Image.fromarray(noise))
        _, height, width = pixels.shape
        files, (mean, std) = saved_files(config, processor), _scale(processor)
        encoder = cls(Mode.colour, height, width, settings.max_pixels, mean, std, files)
        encoder._check(noise, settings.checkpoint)
        return encoder

    @cached_property
    def processor(self) -> Any:
        """The checkpoint's image processor, the one that needs Pillow only."""
        with TemporaryDirectory() as folder:
            for name, content in self.contents.items():
                (Path(folder) / name).write_bytes(content)
            return _processor(Path(folder))

    @property
    def spec(self) -> PretrainedImageSpec:
        """The checkpoint's architecture, the shape and the scale of its inputs."""
        shape = len(self.mode), self.height, self.width
        return PretrainedImageSpec(self.architecture, *shape, self.mean, self.std)

    def features(self) -> Mapping[str, tuple[str, Any]]:
        """Return the pixels of the image, made small where it is large."""
        plain = (self.mode, self.height, self.width, self.max_pixels, self.mean, self.std)
        return ImageEncoder(*plain).features()

    def _array(self, image: Image.Image) -> np.ndarray:
        """Return the image as the processor resizes it: uint8 [channels, height, width]."""
        return _pixels(self.processor, image)

    def _check(self, image: np.ndarray, checkpoint: str) -> None:
        """Raise a ConfigError unless the model reads what the processor alone would make."""
        import torch

        pixels = torch.from_numpy(_pixels(self.processor, Image.fromarray(image)))
        found = self.spec.arguments(pixels.unsqueeze(0))["pixel_values"][0]
        expected = torch.from_numpy(_processed(self.processor, image))
        is_same = pixels.dtype == torch.uint8 and found.allclose(expected, atol=1e-4)
        if not is_same:
            raise ConfigError(
                "the image processor of model.checkpoint must only resize, crop, rescale and "
                f"normalise, which that of {checkpoint!r} does not"
            )


def _processor(folder: Path) -> Any:
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)


def _processed(processor: Any, image: Any, **options: Any) -> np.ndarray:
    """Return what the processor makes of an image: [channels, height, width]."""
    return processor(image, return_tensors="np", **options)["pixel_values"][0]


def _pixels(processor: Any, image: Image.Image) -> np.ndarray:
    """Return the image at the processor's size, with values from 0 to 255."""
    return _processed(processor, image.convert("RGB"), do_rescale=False, do_normalize=False)


def _scale(processor: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation by which the processor normalises values in [0, 1]."""
    factor = 255 * (processor.rescale_factor if processor.do_rescale else 1)
    is_normalised = processor.do_normalize
    mean = processor.image_mean if is_normalised else [0.0] * 3
    std = processor.image_std if is_normalised else [1.0] * 3
    return tuple(one / factor for one in mean), tuple(one / factor for one in std)
