"""From raw images to the prepared arrays that every later stage reads."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from ..config import PrepareConfig
from ..files import sha256, write_json
from ..preprocess import ImageError, ImageSpec, decode_image, image_to_array
from .dataset import SPLITS, DatasetInfo, Split, SplitName, load_split
from .sources import RawDataset
from .split import Indices, stratified_split

ROWS_PER_COPY = 4096  # images that are in memory at a time


def prepare(raw: RawDataset, name: str, config: PrepareConfig, target: Path) -> DatasetInfo:
    """Decode, split and write a data set to the folder `target`, all of it or nothing.

    Images are decoded one by one straight into a file, so memory does not grow with the data. An
    image that cannot be decoded is left out and listed in `DatasetInfo.skipped`.

    Raises:
        UserError: a class has too few usable images to be in every split.
    """
    spec = ImageSpec(config.channels, config.image_size, config.image_size)
    with _written_at_once(target) as folder:
        usable, skipped = _decode_all(raw, spec, folder / "all.npy")
        rows_by_split = stratified_split(
            raw.labels[usable],
            raw.classes,
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
            seed=config.seed,
            is_test=None if raw.is_test is None else raw.is_test[usable],
        )
        pixels = np.load(folder / "all.npy", mmap_mode="r")
        for split, rows in rows_by_split.items():
            # `rows` count the usable images; `pixels` and `raw` hold the skipped ones, too.
            chosen = usable[np.sort(rows[: config.limit])]
            _copy_rows(pixels, chosen, folder / f"{split}_images.npy")
            np.save(folder / f"{split}_labels.npy", raw.labels[chosen])
        del pixels  # Windows deletes no file that is mapped
        (folder / "all.npy").unlink()
        splits = {split: load_split(folder, split) for split in SPLITS}
        info = _describe(splits, name, raw.classes, spec, skipped)
        write_json(folder / "dataset.json", asdict(info))
    return info


@contextmanager
def _written_at_once(target: Path) -> Iterator[Path]:
    """Yield a scratch folder, which replaces `target` at the end and is deleted after an error."""
    scratch = target.with_name(target.name + ".partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        shutil.rmtree(target, ignore_errors=True)
        scratch.replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _decode_all(
    raw: RawDataset, spec: ImageSpec, path: Path
) -> tuple[Indices, list[tuple[str, str]]]:
    """Write all images to one array (N, C, H, W); return the usable rows, and the skipped files."""
    pixels = _create_array(path, (len(raw.images), *spec.shape))
    usable, skipped = [], []
    for row, image in enumerate(tqdm(raw.images, desc="decode", unit="image", disable=None)):
        try:
            if isinstance(image, Path):
                pixels[row] = decode_image(image.read_bytes(), spec)
            else:
                pixels[row] = image_to_array(Image.fromarray(image), spec)
        except ImageError as error:
            skipped.append((f"{image.parent.name}/{image.name}", str(error)))
        else:
            usable.append(row)
    pixels.flush()
    return np.array(usable, dtype=np.int64), skipped


def _copy_rows(pixels: npt.NDArray[np.uint8], rows: Indices, path: Path) -> None:
    copy = _create_array(path, (len(rows), *pixels.shape[1:]))
    for start in range(0, len(rows), ROWS_PER_COPY):
        copy[start : start + ROWS_PER_COPY] = pixels[rows[start : start + ROWS_PER_COPY]]
    copy.flush()


def _create_array(path: Path, shape: tuple[int, ...]) -> "np.memmap[Any, np.dtype[np.uint8]]":
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _describe(
    splits: dict[SplitName, Split],
    name: str,
    classes: tuple[str, ...],
    spec: ImageSpec,
    skipped: list[tuple[str, str]],
) -> DatasetInfo:
    """Count, measure and hash the prepared arrays."""
    mean, std = _mean_and_std(splits["train"].images)
    content: list[bytes | memoryview] = [repr(classes).encode()]
    counts = {}
    for split, data in splits.items():
        numbers = np.bincount(data.labels, minlength=len(classes)).tolist()
        counts[split] = dict(zip(classes, numbers, strict=True))
        content += [repr(data.images.shape).encode(), data.images.data, data.labels.data]
    return DatasetInfo(
        name=name,
        classes=classes,
        image=spec,
        counts=counts,
        mean=tuple(mean.round(6).tolist()),
        std=tuple(std.round(6).tolist()),
        skipped=tuple(skipped),
        content_hash=f"sha256:{sha256(content)}",
    )


def _mean_and_std(
    images: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and standard deviation of the pixels (N, C, H, W) by channel: (C,), 0 to 1."""
    num_pixels = images.size // images.shape[1]
    # NumPy sums a memory-mapped array through a small buffer, without a copy of it. The sums are
    # whole numbers, so E[x²] - mean² loses no digits here.
    mean = images.sum(axis=(0, 2, 3), dtype=np.int64) / num_pixels
    mean_square = np.einsum("nchw,nchw->c", images, images, dtype=np.int64) / num_pixels
    std = np.sqrt(mean_square - mean**2)
    return mean / 255, np.maximum(std / 255, 1e-6)  # a constant channel is not divided by 0
