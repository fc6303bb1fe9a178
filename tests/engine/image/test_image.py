"""Images in files, in folders and in requests, good and hostile."""

import random
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile
from toy_project.data.image import (
    ImageEncoder,
    ImageEncoderConfig,
    Mode,
)
from toy_project.rules import ConfigError, typed

from .pictures import encoded, encoder, noise


def test_an_image_is_channels_of_rows_of_bytes():
    image = noise(9, 7)
    array = encoder(size=[7, 9]).encode({"image": encoded(image)})
    assert array.dtype == np.uint8 and array.shape == (3, 7, 9)
    assert np.array_equal(array.transpose(1, 2, 0), np.asarray(image))
    grey = encoder(size=[7, 9], mode=Mode.grey).encode({"image": encoded(image)})
    assert np.array_equal(grey[0], np.asarray(image.convert("L")))


def test_every_image_gets_the_same_size():
    fitted = encoder(size=[5, 6])
    for size in ((1, 1), (6, 5), (300, 2), (64, 64)):
        assert fitted.encode({"image": encoded(noise(*size))}).shape == (3, 5, 6)


def test_mean_and_deviation_are_those_of_all_training_pixels():
    contents = [encoded(noise(4, 4)) for _ in range(5)]
    fitted = encoder(*contents, size=4)
    pixels = np.stack([fitted.encode({"image": one}) for one in contents]) / 255
    assert np.allclose(fitted.mean, pixels.mean(axis=(0, 2, 3)))
    assert np.allclose(fitted.std, pixels.std(axis=(0, 2, 3)))
    assert encoder(encoded(Image.new("L", (4, 4), 9)), size=4).std == (1.0, 1.0, 1.0)


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.full((4, 4), 0x80FF, dtype=np.uint16))


def palette() -> Image.Image:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    return image


HALF = 255 - 128 + 5 * 128 // 255
"""A value of 5 with alpha 128, on white."""
SEEN = [
    (Image.new("RGB", (4, 4), (10, 20, 30)), "PNG", (10, 20, 30)),
    (Image.new("L", (4, 4), 9), "PNG", (9, 9, 9)),
    (Image.new("1", (4, 4), 1), "PNG", (255, 255, 255)),
    (palette(), "PNG", (10, 20, 30)),
    (Image.new("RGBA", (4, 4), (5, 5, 5, 0)), "PNG", (255, 255, 255)),
    (Image.new("RGBA", (4, 4), (5, 5, 5, 128)), "PNG", (HALF, HALF, HALF)),
    (Image.new("LA", (4, 4), (5, 255)), "PNG", (5, 5, 5)),
    (sixteen_bits(), "PNG", (0x80, 0x80, 0x80)),
    (sixteen_bits(), "TIFF", (0x80, 0x80, 0x80)),
    (Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
    (Image.new("CMYK", (4, 4), (0, 0, 0, 0)), "JPEG", (255, 255, 255)),
]


@pytest.mark.parametrize(("image", "kind", "color"), SEEN, ids=lambda v: getattr(v, "mode", None))
def test_every_kind_of_pixel_has_a_defined_color(image, kind, color):
    row = {"image": encoded(image, kind)}
    assert ImageEncoder.problem(row) == ""
    array = encoder(size=4).encode(row)
    assert np.abs(array.astype(int) - np.reshape(color, (3, 1, 1))).max() <= 1


@pytest.mark.parametrize("mode", ["I", "F"])
def test_numbers_without_a_range_are_refused(mode):
    row = {"image": encoded(Image.new(mode, (4, 4)), "TIFF")}
    message = f"the image cannot be read: its values (Pillow's mode {mode}) have no fixed range"
    assert ImageEncoder.problem(row) == message


def test_a_photograph_is_turned_as_its_camera_was_held():
    stored = noise(8, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    array = encoder(size=[8, 4]).encode({"image": encoded(stored, exif=exif)})
    upright = np.asarray(stored.transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(array.transpose(1, 2, 0), upright)


def test_a_large_photograph_is_read_small_and_looks_the_same():
    ramp = np.linspace(0, 255, 4096, dtype=np.uint8)
    photograph = Image.fromarray(np.broadcast_to(ramp, (512, 4096)).copy())
    contents = [encoded(photograph, "JPEG", quality=95), encoded(photograph)]
    jpeg, png = (encoder(size=16).encode({"image": one}).astype(int) for one in contents)
    assert np.abs(jpeg - png).max() <= 2


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def bomb(width: int, height: int, num_rows: int) -> bytes:
    """Return a PNG of a few bytes for each thousand pixels; `num_rows` of its rows are there."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packer = zlib.compressobj()
    body = b"".join(packer.compress(bytes(3 * width + 1)) for _ in range(num_rows)) + packer.flush()
    parts = chunk(b"IHDR", header), chunk(b"IDAT", body), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def refusal(content: bytes, **settings) -> str:
    with pytest.raises(ValueError) as caught:
        encoder(size=4, **settings).row({"image": content, "pixels": None})
    return str(caught.value)


def test_a_bomb_is_refused_before_it_is_decoded():
    content = bomb(5000, 5000, 5000)
    assert len(content) < 5000 * 5000 // 200
    start = time.process_time()
    assert refusal(content).endswith("5000 x 5000 pixels are more than 16,777,216")
    assert time.process_time() - start < 0.05
    large = bomb(2**20, 2**20, 1)
    assert "decompression bomb" in refusal(large)
    assert "decompression bomb" in ImageEncoder.problem({"image": large})


def compressed_texts(size: int) -> bytes:
    """Return a PNG of one pixel, and of texts that take a hundred times their size of `size`."""
    text = b"zTXtkey\0\0" + zlib.compress(bytes(1_000_000), 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    content = encoded(noise(1, 1))
    head = content.index(b"IDAT") - 4
    return content[:head] + chunk * (size // len(chunk)) + content[head:]


@pytest.mark.parametrize(
    ("content", "is_small"),
    [
        (encoded(noise(64, 64)), True),
        (encoded(noise(65, 64)), False),
        (encoded(noise(), "JPEG"), False),
        (encoded(noise())[:20], True),
        (b"", False),
    ],
)
def test_a_png_of_few_pixels_is_small(content, is_small):
    assert encoder(size=4).is_small({"image": content, "pixels": None}) is is_small


def test_a_small_png_cannot_take_long():
    content = compressed_texts(6000)
    assert 4000 < len(content) < 6144
    request = {"image": content, "pixels": None}
    assert encoder(size=4).is_small(request)
    start = time.process_time()
    encoder(size=4).row(request)
    assert time.process_time() - start < 0.05


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk" * 100,
        encoded(noise(), "GIF"),
        encoded(noise(), "BMP"),
        encoded(noise(), "TIFF"),
        b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="4" height="4"/></svg>',
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n",
    ],
)
def test_what_is_no_png_or_jpeg_is_no_request(content):
    assert refusal(content) == "the image is not PNG or JPEG"


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damage that it can read over
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_damage_is_a_reason_or_goes_unseen_but_never_an_error(kind):
    whole, draw = encoded(noise(40, 30), kind), random.Random(0)
    damaged = [whole[:length] for length in range(0, len(whole), 13)]
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            content[draw.randrange(min(len(whole), 400))] = draw.randrange(256)
        damaged.append(bytes(content))
    reasons = [ImageEncoder.problem({"image": content}) for content in damaged]
    assert sum(map(bool, reasons)) > len(reasons) / 3
    assert all(len(reason) < 250 and "\n" not in reason for reason in reasons)
    fitted = encoder(size=8)
    for content, reason in zip(damaged, reasons, strict=True):
        if not reason:
            assert fitted.encode({"image": content}).shape == (3, 8, 8)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_missing_image_is_a_reason():
    for nothing in (None, "", b""):
        assert ImageEncoder.problem({"image": nothing}) == "the image is empty"


def test_pixels_are_what_the_image_of_them_is():
    image = noise(6, 5)
    fitted = encoder(size=4)
    drawn = fitted.row({"image": None, "pixels": np.asarray(image).tolist()})
    sent = fitted.row({"image": encoded(image), "pixels": None})
    assert np.array_equal(fitted.encode(drawn), fitted.encode(sent))
    assert np.array_equal(fitted.encode(sent), fitted.encode({"image": encoded(image)}))
    grey = encoder(size=2, mode=Mode.grey)
    assert grey.row({"pixels": [[0, 255], [7.4, 7.6]]})["image"].tolist() == [[[0, 255], [7, 8]]]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "give either image or pixels"),
        ({"image": b"", "pixels": []}, "give either image or pixels"),
        ({"pixels": [[[1, 2, 3]], []]}, "pixels must be rows of one length, of [red, green, blue]"),
        ({"pixels": [[1, 2]]}, "pixels must be rows of [red, green, blue], got the shape [1, 2]"),
        ({"pixels": []}, "pixels must be rows of [red, green, blue], got the shape [0]"),
        ({"pixels": [[]]}, "pixels must be rows of [red, green, blue], got the shape [1, 0]"),
    ],
)
def test_a_request_that_is_no_image_is_refused(request_, message):
    with pytest.raises(ValueError) as caught:
        encoder(size=4).row(request_)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "data.encoder.size must be a number in [1, 4096], or two: [height, width]"),
        ({"size": [8, 8, 8]}, "data.encoder.size must be a number in [1, 4096], or two"),
        ({"size": "8"}, "data.encoder.size must be of type int or list, got '8'"),
        ({"mode": "CMYK"}, "data.encoder.mode must be one of L, RGB, got 'CMYK'"),
        ({"max_pixels": 0}, "data.encoder.max_pixels must be >= 1, got 0"),
    ],
)
def test_a_wrong_setting_is_one_line(settings, message):
    with pytest.raises(ConfigError) as caught:
        typed("data.encoder", ImageEncoderConfig, settings)
    assert str(caught.value).startswith(message)


def test_the_baseline_sees_a_large_image_small():
    fitted = encoder(size=[100, 20])
    [(_, pixels)] = fitted.features().values()
    features = pixels.fit_transform([{"image": encoded(noise())}] * 2)
    assert features.shape == (2, 3 * 32 * 20)
    assert 0 <= features.min() < features.max() <= 1


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("size", [8, [3, 64], [64, 3], 224])
def test_the_example_is_a_picture(size, mode):
    fitted = encoder(size=size, mode=mode)
    assert set(np.unique(fitted.encode(fitted.example))) == {0, 255}


def test_there_is_an_example_of_one_pixel():
    fitted = encoder(size=1)
    assert fitted.encode(fitted.example).shape == (3, 1, 1)
