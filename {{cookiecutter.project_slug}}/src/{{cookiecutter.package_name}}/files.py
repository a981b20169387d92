"""Atomic writes, and the formats that many modules share: JSON, CSV, PNG, SHA-256."""

import csv
import hashlib
import io
import json
import os
import shutil
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from .errors import BrokenFileError

# Categories of Unicode: control characters, bytes that are no UTF-8, and ends of lines.
NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}


def write_scratch(path: Path, content: bytes) -> Path:
    """Write a scratch file beside `path` and return it; renaming it to `path` is then atomic."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".tmp")
    with scratch.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # or a power failure could leave the new name without the bytes
    return scratch


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, atomically: an interruption leaves the old file or the new one."""
    write_scratch(path, text.encode()).replace(path)


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`, whose place it takes unless an error ends it."""
    scratch = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        shutil.rmtree(folder, ignore_errors=True)
        scratch.replace(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def reading(source: Path | str) -> Iterator[None]:
    """Turn what broken content raises into one sentence that names the file.

    Raises:
        BrokenFileError: instead of the errors of values, types, keys and indices.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError) as error:
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 200)
        raise BrokenFileError(f"{source} is broken ({reason}): write it anew") from None


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        BrokenFileError: it holds something else.
    """
    with reading(path):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError("no JSON object")
        return content


def escape(name: str) -> str:
    """Write what no text can hold, or no line, as backslash escapes: names of files may have it."""
    return "".join(
        repr(character)[1:-1] if unicodedata.category(character) in NO_TEXT else character
        for character in name
    )


def write_json(path: Path, content: object) -> None:
    """Write indented JSON, which git can compare line by line."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table as comma-separated values."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode grey (1, H, W) or RGB (3, H, W) as the bytes of a PNG file."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def sha256(parts: Iterable[bytes | memoryview]) -> str:
    """Return the SHA-256 of all parts, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, without reading it into memory as a whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
