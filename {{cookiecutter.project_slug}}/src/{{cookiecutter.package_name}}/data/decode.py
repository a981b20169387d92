"""Raw images to one memory-mapped array, on all cores."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from ..files import escape, sha256
from ..parallel import is_on_cluster, map_chunks
from ..preprocess import ImageError, ImageSpec, decode_image, image_to_array
from .split import Indices

MAX_CHUNK_SIZE = 1024  # images that a worker decodes at a time
MAX_CHUNK_BYTES = 2**23  # of their decoded pixels

RawImage = str | npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.uint8]


class Decoded(NamedTuple):
    """What was found out about images while they were decoded.

    rows: of the usable ones. digests: SHA-256 of their pixels. sizes: pixels in their files, 0 for
    what comes from no file. skipped: those that cannot be decoded, with the reasons.
    """

    rows: Indices
    digests: list[str]
    sizes: list[int]
    skipped: list[tuple[str, str]]


def decode_all(images: Sequence[RawImage] | Pixels, spec: ImageSpec, path: Path) -> Decoded:
    """Write all images to one array (N, C, H, W) in the file `path`.

    Memory holds a few chunks at a time, so it does not grow with the number of images.
    """
    pixels = create_array(path, (len(images), *spec.shape))
    usable: list[int] = []
    digests: list[str] = []
    sizes: list[int] = []
    skipped: list[tuple[str, str]] = []
    size = max(1, min(MAX_CHUNK_SIZE, MAX_CHUNK_BYTES // pixels[:1].nbytes))
    folder = Path.cwd()
    # On this machine, workers write the pixels themselves, which is faster than sending them to
    # this process. Two machines that write to one file of a network may lose each other's bytes,
    # so from a cluster the pixels come back.
    decode = partial(
        _decode_chunk, spec=spec, folder=folder, path=None if is_on_cluster() else folder / path
    )
    with tqdm(total=len(images), desc="decode", unit="image", disable=None) as progress:
        start = 0
        for decoded, found in map_chunks(decode, _Numbered(images), size):
            if decoded is not None:
                pixels[start : start + len(found)] = decoded
            for row, (digest, num_pixels, error) in enumerate(found, start):
                if error:
                    skipped.append((name_of(images[row], row), error))
                else:
                    usable.append(row)
                    digests.append(digest)
                    sizes.append(num_pixels)
            start += len(found)
            progress.update(len(found))
    return Decoded(np.array(usable, dtype=np.int64), digests, sizes, skipped)


@dataclass(frozen=True)
class _Numbered:
    """Images whose slices know where they begin."""

    images: Sequence[RawImage] | Pixels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> tuple[int, Sequence[RawImage] | Pixels]:
        return rows.start, self.images[rows]


def _decode_chunk(
    chunk: tuple[int, Sequence[RawImage] | Pixels],
    *,
    spec: ImageSpec,
    folder: Path,
    path: Path | None,
) -> tuple[Pixels | None, list[tuple[str, int, str]]]:
    """Return pixels (N, C, H, W), and of each image its digest, size and error, or "" without one.

    Args:
        chunk: the row of the first image, and the images.
        folder: that relative paths start from; a worker on another machine has its own.
        path: of the array that gets the pixels; None to return them.
    """
    first, images = chunk
    pixels = np.zeros((len(images), *spec.shape), np.uint8)
    found = []
    for row, image in enumerate(images):
        size, error = 0, ""
        try:
            if isinstance(image, str):
                content = (folder / image).read_bytes()
                pixels[row] = decode_image(content, spec)
                with Image.open(io.BytesIO(content)) as opened:  # reads no pixels
                    size = opened.width * opened.height
            else:
                pixels[row] = image_to_array(Image.fromarray(image), spec)
        except ImageError as problem:
            error = str(problem)
        found.append((sha256([pixels[row].data]), size, error))
    if path is None:
        return pixels, found
    np.load(path, mmap_mode="r+")[first : first + len(images)] = pixels
    return None, found


def name_of(image: RawImage, row: int) -> str:
    """Return what a report calls an image."""
    if isinstance(image, str):
        return escape("/".join(image.split("/")[-2:]))
    return f"image {row}"


def create_array(path: Path, shape: tuple[int, ...]) -> "np.memmap[Any, np.dtype[np.uint8]]":
    """Create a `.npy` file for the pixels of many images, uint8 (N, C, H, W)."""
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
