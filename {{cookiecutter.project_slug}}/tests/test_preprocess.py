"""Images of every kind become the array that the model takes."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from package_name.preprocess import (
    ImageError,
    ImageSpec,
    decode_image,
    image_to_array,
)

GREY = ImageSpec(1, 8, 8)
COLOUR = ImageSpec(3, 8, 8)


def encode(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def gradient(mode: str, size: tuple[int, int] = (8, 8)) -> Image.Image:
    ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size[1], size[0]).astype(np.uint8)
    return Image.fromarray(ramp).convert(mode)


def test_an_image_of_the_right_size_keeps_its_pixels() -> None:
    image = gradient("L")
    assert np.array_equal(decode_image(encode(image), GREY)[0], np.asarray(image))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("spec", [GREY, COLOUR])
def test_every_mode_becomes_the_shape_of_the_model(mode: str, spec: ImageSpec) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32))
    else:
        image = gradient("RGB", (20, 13)).convert(mode)
    data = encode(image, "JPEG" if mode == "CMYK" else "PNG")
    pixels = decode_image(data, spec)
    assert pixels.shape == spec.shape
    assert pixels.dtype == np.uint8
    assert pixels.max() > pixels.min()


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (300, 7), (7, 300), (640, 480)])
def test_every_format_and_size_is_read(format_: str, size: tuple[int, int]) -> None:
    data = encode(Image.new("RGB", size, (200, 200, 200)), format_)
    assert np.abs(decode_image(data, GREY).astype(int) - 200).max() <= 2


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    half = Image.fromarray(np.full((8, 8), 0x8000, dtype=np.uint16))
    assert np.all(decode_image(encode(half), GREY) == 0x80)


def test_a_wide_image_is_cropped_about_its_centre_and_not_squashed() -> None:
    image = Image.new("L", (24, 8), 0)
    image.paste(255, (8, 0, 16, 8))
    assert np.all(decode_image(encode(image), GREY) == 255)


def test_transparency_becomes_white() -> None:
    assert np.all(decode_image(encode(Image.new("RGBA", (8, 8), (0, 0, 0, 0))), GREY) == 255)


def test_exif_orientation_is_applied() -> None:
    image = Image.new("L", (8, 8), 0)
    image.paste(255, (0, 0, 8, 4))  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    pixels = decode_image(encode(image, "PNG", exif=exif), GREY)[0]
    assert np.all(pixels[:4] == 0)
    assert np.all(pixels[4:] == 255)


def test_exif_orientation_is_applied_to_a_transparent_image_too() -> None:
    image = Image.new("RGBA", (16, 8), "black")
    image.paste("white", (0, 0, 8, 8))  # the left half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    pixels = decode_image(encode(image, exif=exif), ImageSpec(1, 16, 8))[0]
    assert np.all(pixels[:8] == 255)
    assert np.all(pixels[8:] == 0)


def test_a_large_jpeg_is_the_image_that_its_pixels_are() -> None:
    image = gradient("L", (800, 800))
    from_jpeg = decode_image(encode(image, "JPEG", quality=95), GREY).astype(int)
    assert abs(from_jpeg - decode_image(encode(image), GREY)).max() <= 2


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("white", "black")]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert np.all(decode_image(data, GREY) == 255)


def test_an_array_and_its_lossless_file_give_the_same_pixels() -> None:
    image = gradient("RGB", (31, 17))
    assert np.array_equal(decode_image(encode(image), COLOUR), image_to_array(image, COLOUR))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        encode(gradient("L", (64, 64)))[:100],
        encode(gradient("L"), "GIF"),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encode(gradient("L"), exif=b"II*\0"),
    ],
    ids=["empty", "text", "cut off", "gif", "svg", "exif"],
)
def test_what_is_not_a_usable_image_is_an_image_error(data: bytes) -> None:
    with pytest.raises(ImageError):
        decode_image(data, GREY)


def test_an_image_with_too_many_pixels_is_turned_away_before_it_is_decoded() -> None:
    bomb = bytearray(encode(gradient("L")))
    bomb[16:24] = struct.pack(">II", 30_000, 30_000)  # width and height,
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))  # with a checksum that is right
    with pytest.raises(ImageError, match="pixels"):
        decode_image(bytes(bomb), GREY)
    with pytest.raises(ImageError, match="at most 10 pixels"):
        decode_image(encode(gradient("L")), GREY, max_pixels=10)
