"""From raw images to the prepared arrays that every later stage reads."""

import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..config import PrepareConfig
from ..errors import UserError
from ..files import escape, fresh_folder, write_csv, write_json
from ..paths import ORIGINS
from ..preprocess import ImageSpec
from .copies import Copies, leave_out_copies
from .dataset import SPLITS, DatasetInfo, SplitName, load_from_feedback, load_split
from .decode import create_array, decode_all, name_of
from .raw import RawDataset
from .split import MIN_PER_CLASS, Indices, Names, assign_splits, hash_positions
from .statistics import describe

ROWS_PER_COPY = 4096  # images that are in memory at a time
MAX_CONTRADICTIONS = 0.05  # share of the images; with more, something is wrong with the labels


def prepare(raw: RawDataset, name: str, config: PrepareConfig, target: Path) -> DatasetInfo:
    """Decode, split and write a data set to the folder `target`, all of it or nothing.

    An image that cannot be decoded is left out and listed in `DatasetInfo.skipped`. So are equal
    images with different labels; of other equal ones, one is used.

    Raises:
        UserError: a class has too few usable images, or too many labels contradict each other.
    """
    spec = ImageSpec(config.channels, config.image_size, config.image_size)
    with fresh_folder(target) as folder:
        usable, digests, sizes, skipped = decode_all(raw.images, spec, folder / "all.npy")
        given, from_feedback = raw.splits[usable], raw.from_feedback[usable]
        copies = leave_out_copies(digests, raw.labels[usable], given, from_feedback)
        skipped += _contradictions(raw, usable, copies)
        chosen = copies.rows
        # `chosen` counts the usable images; `pixels` and `raw` hold the skipped ones, too.
        rows, labels = usable[chosen], raw.labels[usable[chosen]]
        _check_counts(labels, raw.classes)
        pattern = config.group_pattern
        keys = (_key(raw.images[usable[row]], digests[row], pattern) for row in chosen)
        positions = hash_positions(keys, config.seed)
        split_of = assign_splits(
            positions,
            given[chosen],
            from_feedback[chosen],
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
        )
        pixels = np.load(folder / "all.npy", mmap_mode="r")
        for split in SPLITS:
            members = _members(split, split_of, positions, config.limit)
            _copy_rows(pixels, rows[members], folder / f"{split}_images.npy")
            np.save(folder / f"{split}_labels.npy", labels[members])
            np.save(folder / f"{split}_from_feedback.npy", from_feedback[chosen][members])
            if split == "test":
                found = np.array(sizes, dtype=np.int64)[chosen[members]]
                _write_origins(raw, rows[members], found, folder / ORIGINS.name)
        del pixels  # Windows deletes no file that is mapped
        (folder / "all.npy").unlink()
        splits = {split: load_split(folder, split) for split in SPLITS}
        feedback = {split: load_from_feedback(folder, split) for split in SPLITS}
        info = describe(splits, name, raw, spec, skipped, copies.num_copies, feedback)
        write_json(folder / "dataset.json", asdict(info))
    return info


def _key(image: str | npt.NDArray[np.uint8], digest: str, group_pattern: str | None) -> str:
    """Return what decides the split of an image: its group if its file name has one, or itself."""
    if group_pattern and isinstance(image, str):
        name = image.rpartition("/")[2]
        if match := re.search(group_pattern, name):
            return f"group {match[1 if match.re.groups else 0]}"
    return digest


def _members(
    split: SplitName, split_of: Names, positions: npt.NDArray[np.float64], limit: int | None
) -> Indices:
    """Return the row numbers of a split, in order; at most `limit`, chosen by their positions."""
    members = np.flatnonzero(split_of == split)
    if not len(members):
        raise UserError(f"no image is in the {split} split: add images, or change its fraction")
    return np.sort(members[np.argsort(positions[members], kind="stable")][:limit])


def _check_counts(labels: npt.NDArray[np.int64], classes: tuple[str, ...]) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    for name, count in zip(classes, counts, strict=True):
        if count < MIN_PER_CLASS:
            raise UserError(
                f"class {name!r} has too few images: it needs {MIN_PER_CLASS}, one each to train, "
                "validate and test"
            )


def _contradictions(raw: RawDataset, usable: Indices, copies: Copies) -> list[tuple[str, str]]:
    """Return the equal images with different labels, and the labels.

    Raises:
        UserError: there are too many of them.
    """
    skipped = []
    for equal in copies.contradictions:
        names = sorted({raw.classes[label] for label in raw.labels[usable[equal]]})
        reason = f"the same image is in {' and '.join(names)}"
        skipped += [(name_of(raw.images[row], row), reason) for row in usable[equal]]
    if len(skipped) > MAX_CONTRADICTIONS * len(usable):
        raise UserError(
            f"{len(skipped)} of {len(usable)} images are in more than one class, such as "
            f"{skipped[0][0]} ({skipped[0][1]}): sort them out first"
        )
    return skipped


def _write_origins(raw: RawDataset, rows: Indices, sizes: Indices, path: Path) -> None:
    """Write where each image is from, by which the evaluation slices the test split."""
    table: list[tuple[object, ...]] = []
    for row, size in zip(rows, sizes, strict=True):
        file = raw.images[row]
        if isinstance(file, str):
            folder = file.split("/")[-2]  # below the class folder, or that itself
            source = "" if folder == raw.classes[raw.labels[row]] else folder
            table.append((escape(file), escape(source), size))
        else:
            table.append((row, "", ""))
    write_csv(path, ("image", "folder", "size"), table)


def _copy_rows(pixels: npt.NDArray[np.uint8], rows: Indices, path: Path) -> None:
    copy = create_array(path, (len(rows), *pixels.shape[1:]))
    for start in range(0, len(rows), ROWS_PER_COPY):
        copy[start : start + ROWS_PER_COPY] = pixels[rows[start : start + ROWS_PER_COPY]]
