"""From the bytes of an image to an array, in the `prepare` stage and in every server.

So the model sees in production exactly the pixels that it would have seen in training.
"""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from .errors import UserError

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 64_000_000
# A progressive JPEG takes as much time for each of its scans, of which encoders write ten or so.
START_OF_JPEG, START_OF_SCAN = b"\xff\xd8", b"\xff\xda"
MAX_SCANS = 64
TRANSPOSE = {  # by EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(UserError):
    """Bytes that are not a usable image; the message tells the sender why."""


class TooManyPixelsError(ImageError):
    """An image that is larger than allowed; it has not been decoded."""


@dataclass(frozen=True)
class ImageSpec:
    """Shape of the array that a model takes: `(channels, height, width)`."""

    channels: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.channels, self.height, self.width)


def decode_image(
    data: bytes, spec: ImageSpec, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.uint8]:
    """Decode a PNG, JPEG or WebP of any mode and size.

    The image is turned as its EXIF orientation says, laid on white where it is transparent,
    cropped about its centre to the aspect ratio of `spec`, and scaled with an anti-aliasing filter.
    Of an animation, the first frame is taken.

    Args:
        data: the bytes of the file.
        spec: shape of the result.
        max_pixels: width times height, above which the image is refused.

    Returns:
        uint8 (C, H, W).

    Raises:
        TooManyPixelsError: it has more than `max_pixels` pixels.
        ImageError: it is not an image in one of these formats, a broken one, or one that is made
            to take long.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise TooManyPixelsError(
                    f"{image.width}x{image.height} is too large: at most {max_pixels:,} pixels"
                )
            is_jpeg = data.startswith(START_OF_JPEG)  # Pillow calls some of them MPO
            if is_jpeg and data.count(START_OF_SCAN) > MAX_SCANS:
                raise ImageError(f"the JPEG has more than {MAX_SCANS} scans")
            # A JPEG is decoded at 1/2, 1/4 or 1/8 of its size if that is still large enough.
            image.draft(None, (2 * max(spec.height, spec.width),) * 2)
            return image_to_array(image, spec)
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise TooManyPixelsError(f"too many pixels; at most {max_pixels:,} are read") from None
    except UnidentifiedImageError:
        raise ImageError(f"not an image in one of the formats {', '.join(FORMATS)}") from None
    except Exception as error:  # Pillow raises nearly everything on broken files
        raise ImageError(f"the image is broken: {error}") from None


def image_to_array(image: Image.Image, spec: ImageSpec) -> npt.NDArray[np.uint8]:
    """Convert an opened image of any mode and size to uint8 (C, H, W); see `decode_image`."""
    mode = "L" if spec.channels == 1 else "RGB"
    image.load()
    # Read before any conversion, which drops it. Without `info` there is no EXIF to be parsed.
    orientation = image.getexif().get(ExifTags.Base.Orientation) if image.info else None
    if image.mode not in ("L", "RGB"):
        image = _flatten(image)
    if image.mode != mode:
        image = image.convert(mode)
    is_on_its_side = orientation in (5, 6, 7, 8)
    size = (spec.height, spec.width) if is_on_its_side else (spec.width, spec.height)
    if image.size != size:
        image = ImageOps.fit(image, size, method=Image.Resampling.BILINEAR)
    if orientation in TRANSPOSE:
        image = image.transpose(TRANSPOSE[orientation])  # last, when the image is small
    array = np.asarray(image, dtype=np.uint8)  # (H, W) or (H, W, C)
    if spec.channels == 1:
        return array[None]
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def _flatten(image: Image.Image) -> Image.Image:
    """Convert the rarer modes to L or RGB: 16 bits to 8, transparency to white."""
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it at 255
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        if image.mode != "RGBA":
            image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    return image.convert("L" if image.mode == "1" else "RGB")
