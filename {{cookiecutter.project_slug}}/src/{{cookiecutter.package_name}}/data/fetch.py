"""Bring a data set to `data/raw/`: download the official files, or copy a folder of images."""

import os
import shutil
from collections import Counter
from functools import cache
from pathlib import Path

from ..config import DatasetName
from ..errors import UserError
from ..files import escape, write_json
from .download import download, path_of
from .image_folder import IGNORED, IMAGE_SUFFIXES, LINK, class_files, is_image
from .sources import OFFICIAL_URLS, official_files

IMAGE_FOLDER = Path("data/images")
DVC_CACHE = Path(".dvc/cache")  # where DVC's links lead, with `cache.type = symlink`


def fetch(dataset: DatasetName, base_url: str | None, target: Path) -> None:
    """Bring a data set's files to the folder `target`; after an error it is as it was before.

    Args:
        base_url: a mirror or a `file:` folder to read from instead of the official place. The
            environment variable DATA_SOURCE_URL takes precedence.

    Raises:
        UserError: a file cannot be read or has the wrong checksum; there are no images.
    """
    base_url = os.environ.get("DATA_SOURCE_URL") or base_url
    # Not in `target`, which DVC empties before each run: an interrupted download is resumed.
    partial = target.with_name("partial")
    if dataset == "image-folder":
        shutil.rmtree(partial, ignore_errors=True)
        _copy_image_folder(_local_folder(base_url) if base_url else IMAGE_FOLDER, partial)
    else:
        url = (base_url or OFFICIAL_URLS[dataset]).rstrip("/")
        files = official_files(dataset)
        for name, sha256 in files.items():
            download(f"{url}/{name}", partial / name, sha256)
        for file in partial.iterdir():
            if file.name not in files:  # of another data set, whose download was interrupted
                file.unlink()
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)


def _local_folder(url: str) -> Path:
    if not url.startswith("file:"):
        raise UserError(f"fetch.base_url = {url!r}: an image folder is read from a file: URL only")
    return path_of(url)


def _copy_image_folder(source: Path, target: Path) -> None:
    found = [source.joinpath(*parts) for parts in class_files(source)]
    files = _within(source, found)
    images = [file for file in files if is_image(file.name)]
    if not images:
        raise UserError(
            f"no images in {source}: it needs one folder for each class, "
            f"with images ({', '.join(IMAGE_SUFFIXES)}) in it"
        )
    for image in images:
        # Under a name that is text, since DVC takes no other.
        copy = target / image.relative_to(source).with_name(escape(image.name))
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, copy)
    ignored = Counter(escape(file.suffix.lower()) for file in files if not is_image(file.name))
    ignored += Counter({LINK: len(found) - len(files)})
    write_json(target / IGNORED, dict(ignored.most_common()))


def _within(source: Path, files: list[Path]) -> list[Path]:
    """Leave out what only a link to another place has brought into the folder."""
    resolve = cache(Path.resolve)
    places = [source.resolve(), DVC_CACHE.resolve()]

    def is_within(file: Path) -> bool:
        place = file.resolve() if file.is_symlink() else resolve(file.parent)
        return any(place.is_relative_to(allowed) for allowed in places)

    return [file for file in files if is_within(file)]
