"""Real pictures for the tests: scikit-learn's scanned digits in the formats that users have."""

import io
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits

CIFAR10_CLASSES = [
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
]
FORMATS = [("L", "png"), ("RGB", "jpg"), ("RGBA", "png"), ("L", "JPEG")]
Pixels = npt.NDArray[np.uint8]


def png(pixels: Pixels) -> bytes:
    """The bytes of a PNG file from uint8 (1, H, W) or (3, H, W)."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def write_image_folder(folder: Path, numbers: slice = slice(None)) -> None:
    """Add scans of three digits, all or some, as PNG and JPEG files of mixed sizes and modes."""
    random = np.random.default_rng(0)
    digits = load_digits()
    for label, name in {0: "zero", 1: "one", 7: "seven"}.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, scan in list(enumerate(digits.images[digits.target == label]))[numbers]:
            width, height = (int(side) for side in random.integers(24, 160, size=2))
            grey = Image.fromarray((scan * (255 / 16)).astype(np.uint8)).resize((width, height))
            mode, suffix = FORMATS[number % len(FORMATS)]
            grey.convert(mode).save(folder / name / f"{number}.{suffix}")


def write_cifar10(path: Path) -> None:
    """Write scanned digits, enlarged and tinted, as CIFAR-10's binary version."""
    random = np.random.default_rng(0)
    digits = load_digits()
    scans = np.kron(digits.images, np.ones((4, 4))) * (255 / 16)  # (N, 32, 32)
    tint = random.uniform(0.3, 1.0, size=(len(scans), 3, 1, 1))
    pixels = (scans[:, None] * tint).astype(np.uint8).reshape(len(scans), -1)  # (N, 3072)
    rows = np.concatenate([digits.target[:, None].astype(np.uint8), pixels], axis=1)
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as archive:
        for name, batch in zip(names, np.array_split(rows, len(names)), strict=True):
            add_to(archive, f"cifar-10-batches-bin/{name}", batch.tobytes())
        classes = "\n".join(CIFAR10_CLASSES) + "\n\n"
        add_to(archive, "cifar-10-batches-bin/batches.meta.txt", classes.encode())


def add_to(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
