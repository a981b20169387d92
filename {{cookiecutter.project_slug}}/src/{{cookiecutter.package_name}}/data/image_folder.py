"""Images in one folder for each class: the user's own, and those from feedback."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import escape, read_json
from .raw import RawDataset

IMAGE_SUFFIXES = (".jfif", ".jpeg", ".jpg", ".png", ".webp")
NO_CLASSES = ("@eaDir", "__MACOSX")  # folders that a NAS and macOS put beside files; or hidden ones
# The folders of a user's own split, and what the split is called here.
OWN_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "test": "test"}
OWN_SPLITS["validation"] = "validation"
IGNORED = "ignored.json"  # what `fetch` has counted and not copied
LINK = "link that leads out of the folder"  # counted there, beside suffixes

# Of a file's path, from the folder of all classes on. Not a Path, of which a million take seconds.
Parts = tuple[str, ...]


def class_files(folder: Path) -> list[Parts]:
    """List all files below the class folders, but for hidden ones, always in the same order.

    Raises:
        UserError: a folder has a name that no text can hold.
    """
    tops = [top for top in _visible(folder) if top.is_dir()] if folder.is_dir() else []
    files = sorted(file for top in tops for file in _files(top.path, (top.name,)))
    for parts in {file[:-1] for file in files}:
        name = "/".join(parts)
        if escape(name) != name:
            raise UserError(f"folder {name!r}: rename it, to one line of text in UTF-8")
    return files


def _files(folder: str, parts: Parts) -> Iterator[Parts]:
    for entry in _visible(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path, (*parts, entry.name))
        elif entry.is_file():
            yield (*parts, entry.name)


def _visible(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name not in NO_CLASSES:
                yield entry


def is_image(name: str) -> bool:
    """Whether a file's name is that of an image in a format that is read here."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def read_image_folder(folder: Path) -> RawDataset:
    """The user's own images: one folder for each class, named after it.

    Folders `train` and `test`, and perhaps `val`, with class folders in them are the user's own
    split, which is kept.

    Raises:
        UserError: there is only one class, or a folder `val` without `test`, or a folder has a name
            that no text can hold.
    """
    files = [parts for parts in class_files(folder) if is_image(parts[-1])]
    images = [_path(folder, parts) for parts in files]
    tops = {parts[0] for parts in files}
    splits = None
    if "train" in tops and len(tops) > 1 and tops <= set(OWN_SPLITS):
        if "test" not in tops:
            raise UserError(f"{', '.join(sorted(tops))} without test: a split of your own needs it")
        has_validation = len(tops) > 2
        names = [OWN_SPLITS[parts[0]] for parts in files]
        # Without a folder for validation, a part of `train` is taken.
        splits = np.array([n if has_validation or n == "test" else "" for n in names])
        files = [parts[1:] for parts in files]
    names = [parts[0] for parts in files]
    classes = tuple(sorted(set(names)))
    if len(classes) < 2:
        raise UserError(f"only one class folder, {classes[0]!r}: a classifier needs at least two")
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[name] for name in names])
    counted = folder / IGNORED
    ignored = read_json(counted) if counted.exists() else {}
    return RawDataset.without_feedback(classes, images, labels, splits, ignored)


def add_feedback(raw: RawDataset, folder: Path) -> RawDataset:
    """Add the images that `make accept-feedback` has put into a folder for each class.

    Raises:
        UserError: a folder has the name of no class.
    """
    files = [parts for parts in class_files(folder) if is_image(parts[-1])]
    numbers = {folder_name(name): number for number, name in enumerate(raw.classes)}
    names = [parts[0] for parts in files]
    if unknown := sorted(set(names) - set(numbers)):
        raise UserError(
            f"{folder / unknown[0]} is no class of this data set, whose folders would be "
            f"{', '.join(numbers)}"
        )
    return RawDataset(
        raw.classes,
        [*raw.images, *(_path(folder, parts) for parts in files)],
        np.append(raw.labels, np.array([numbers[name] for name in names], dtype=np.int64)),
        np.append(raw.splits, np.full(len(files), "")),
        np.append(raw.from_feedback, np.full(len(files), fill_value=True)),
        raw.ignored,
    )


def _path(folder: Path, parts: Parts) -> str:
    return "/".join((folder.as_posix(), *parts))


def folder_name(class_name: str) -> str:
    """Return the name of a class as that of a folder."""
    return class_name.replace("/", "-")
