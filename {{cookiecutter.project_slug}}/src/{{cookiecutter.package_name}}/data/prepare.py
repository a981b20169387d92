"""Raw pictures to the prepared arrays that everything downstream reads."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from ..config import PrepareConfig
from ..files import sha256, write_json
from ..preprocess import ImageError, ImageSpec, decode_image, image_to_array
from .dataset import SPLITS, DatasetInfo, Split, load_split
from .sources import RawDataset
from .split import Indices, stratified_split

CHUNK_SIZE = 4096  # pictures that are in memory at a time


def prepare(raw: RawDataset, name: str, config: PrepareConfig, target: Path) -> DatasetInfo:
    """Decode, split and write a data set to the folder `target`, all of it or nothing.

    Pictures are decoded one by one straight into a file, so memory does not grow with the data.
    A picture that cannot be decoded is left out and listed in `DatasetInfo.skipped`.

    Raises:
        UserError: a class has too few usable pictures to be in every split.
    """
    spec = ImageSpec(config.channels, config.image_size, config.image_size)
    with _appearing_at_once(target) as folder:
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
            chosen = usable[np.sort(rows[: config.limit])]  # the rows of `pixels` and `raw`
            _copy_rows(pixels, chosen, folder / f"{split}_images.npy")
            np.save(folder / f"{split}_labels.npy", raw.labels[chosen])
        del pixels
        (folder / "all.npy").unlink()
        info = _describe(folder, name, raw.classes, spec, skipped)
        write_json(folder / "dataset.json", asdict(info))
    return info


@contextmanager
def _appearing_at_once(target: Path) -> Iterator[Path]:
    """Give a scratch folder that becomes `target` if all goes well and vanishes if not."""
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
    """Write every picture to one array (N, C, H, W); return the good rows and the skipped files."""
    pixels = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.uint8, shape=(len(raw.images), *spec.shape)
    )
    usable, skipped = [], []
    for row, image in enumerate(tqdm(raw.images, desc="decode", unit="picture", disable=None)):
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
    shape = (len(rows), *pixels.shape[1:])
    copy = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for start in range(0, len(rows), CHUNK_SIZE):
        copy[start : start + CHUNK_SIZE] = pixels[rows[start : start + CHUNK_SIZE]]
    copy.flush()


def _describe(
    folder: Path,
    name: str,
    classes: tuple[str, ...],
    spec: ImageSpec,
    skipped: list[tuple[str, str]],
) -> DatasetInfo:
    splits = {split: load_split(folder, split) for split in SPLITS}
    mean, std = _mean_and_std(splits["train"].images)
    counts = {
        split: dict(
            zip(classes, np.bincount(data.labels, minlength=len(classes)).tolist(), strict=True)
        )
        for split, data in splits.items()
    }
    return DatasetInfo(
        name=name,
        classes=classes,
        image=spec,
        counts=counts,
        mean=mean,
        std=std,
        skipped=tuple(skipped),
        content_hash=f"sha256:{sha256(_content(classes, list(splits.values())))}",
    )


def _chunks(images: npt.NDArray[np.uint8]) -> Iterator[npt.NDArray[np.uint8]]:
    for start in range(0, len(images), CHUNK_SIZE):
        yield images[start : start + CHUNK_SIZE]


def _mean_and_std(
    images: npt.NDArray[np.uint8],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the pixels by channel, on the scale 0 to 1."""
    count = images.shape[0] * images.shape[2] * images.shape[3]
    total = np.zeros(images.shape[1])
    total_of_squares = np.zeros(images.shape[1])
    for chunk in _chunks(images):
        scaled = chunk / 255.0
        total += scaled.sum(axis=(0, 2, 3))
        total_of_squares += np.square(scaled).sum(axis=(0, 2, 3))
    mean = total / count
    std = np.sqrt(total_of_squares / count - mean**2)
    return tuple(mean.round(6).tolist()), tuple(np.maximum(std, 1e-6).round(6).tolist())


def _content(classes: tuple[str, ...], splits: list[Split]) -> Iterator[bytes | memoryview]:
    """All that makes the data set what it is, in parts for its hash."""
    yield repr(classes).encode()
    for split in splits:
        yield repr(split.images.shape).encode()
        for chunk in _chunks(split.images):
            yield np.ascontiguousarray(chunk).data
        yield split.labels.data
