"""From official files, or a folder of images, to the prepared arrays."""

import gzip
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from package_name.config import PrepareConfig
from package_name.data.dataset import SPLITS, load_info, load_split
from package_name.data.download import DownloadError
from package_name.data.fetch import fetch
from package_name.data.prepare import prepare
from package_name.data.sources import READERS
from package_name.errors import UserError

CONFIG = PrepareConfig(
    channels=1,
    image_size=8,
    validation_fraction=0.15,
    test_fraction=0.2,
    limit=None,
    seed=0,
    group_pattern=None,
)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    fetch("digits", None, folder / "raw")
    prepare(READERS["digits"](folder / "raw"), "digits", CONFIG, folder / "prepared")
    return folder / "prepared"


def test_digits_come_without_a_network_and_every_image_is_in_one_split(digits: Path) -> None:
    info = load_info(digits)
    splits = [load_split(digits, split) for split in SPLITS]
    assert sum(len(split) for split in splits) == 1797
    assert info.classes == tuple("0123456789")
    everything = np.concatenate([split.images for split in splits])
    assert everything.shape == (1797, 1, 8, 8)
    assert len(np.unique(everything.reshape(1797, -1), axis=0)) == 1797
    assert everything.max() == 255


def test_dataset_json_says_what_the_arrays_hold(digits: Path) -> None:
    info = load_info(digits)
    train = load_split(digits, "train")
    assert info.counts["train"]["3"] == int((train.labels == 3).sum())
    assert info.num_images("train") == len(train)
    assert info.mean[0] == pytest.approx(train.images.mean() / 255, abs=1e-5)
    assert info.std[0] == pytest.approx(train.images.std() / 255, abs=1e-5)


def test_preparing_twice_gives_the_same_hash_and_another_split_another(
    digits: Path, tmp_path: Path
) -> None:
    fetch("digits", None, tmp_path / "raw")
    raw = READERS["digits"](tmp_path / "raw")
    again = prepare(raw, "digits", CONFIG, tmp_path / "again")
    other = prepare(raw, "digits", replace(CONFIG, seed=1), tmp_path / "other")
    assert again.content_hash == load_info(digits).content_hash
    assert other.content_hash != again.content_hash


def test_new_images_move_no_old_one_from_its_split(tmp_path: Path) -> None:
    images = make_image_folder(tmp_path / "images", num_images=40)
    before = pixels_by_split(images, tmp_path / "before")
    for number in range(40):
        image = Image.new("RGB", (16, 16), (200, number, number))
        image.save(images / "red" / f"a-new-one-{number}.png")
    assert all(before[s] < after for s, after in pixels_by_split(images, tmp_path / "b").items())


def pixels_by_split(images: Path, target: Path) -> dict[str, set[bytes]]:
    config = replace(CONFIG, channels=3)
    prepare(READERS["image-folder"](images), "image-folder", config, target)
    return {s: {image.tobytes() for image in load_split(target, s).images} for s in SPLITS}


def test_fashion_mnist_is_read_from_its_own_format(tmp_path: Path) -> None:
    for part, count in (("train", 20), ("t10k", 10)):
        images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        header = b"\0\0\x08\x03" + np.array(images.shape, dtype=">u4").tobytes()
        idx = gzip.compress(header + images.tobytes())
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(idx)
        labels = np.arange(count, dtype=np.uint8) % 10
        header = b"\0\0\x08\x01" + np.array(labels.shape, dtype=">u4").tobytes()
        idx = gzip.compress(header + labels.tobytes())
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx)
    raw = READERS["fashion-mnist"](tmp_path)
    assert np.asarray(raw.images).shape == (30, 28, 28)
    assert raw.splits.tolist() == [""] * 20 + ["test"] * 10
    assert raw.labels.tolist() == [*range(10), *range(10), *range(10)]


def test_cifar10_is_read_from_its_own_format(tmp_path: Path) -> None:
    red = np.concatenate([[7], np.repeat([255, 0, 0], 1024)]).astype(np.uint8)
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
        contents = {name: red.tobytes() * 2 for name in names}
        contents["batches.meta.txt"] = "\n".join("abcdefghij").encode()
        for name, data in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    raw = READERS["cifar10"](tmp_path)
    images = np.asarray(raw.images)
    assert images.shape == (12, 32, 32, 3)
    assert np.all(images == [255, 0, 0])
    assert raw.labels.tolist() == [7] * 12
    assert raw.splits.tolist() == [""] * 10 + ["test"] * 2


def make_image_folder(folder: Path, num_images: int = 12) -> Path:
    """Two classes, red and blue images of many sizes and formats."""
    for colour in ("red", "blue"):
        (folder / colour).mkdir(parents=True)
        for number in range(num_images):
            shade = (255 - 3 * number, 0, 0)  # no two images are the same
            shade = shade if colour == "red" else shade[::-1]
            image = Image.new("RGB", (20 + number, 70 - number), shade)
            image.save(folder / colour / f"{number}.{('png', 'jpg', 'webp')[number % 3]}")
    return folder


def test_a_folder_of_mixed_images_is_prepared(tmp_path: Path) -> None:
    images = make_image_folder(tmp_path / "images")
    (images / "red" / ".hidden.png").write_bytes(b"x")
    (images / "red" / "notes.txt").write_text("not an image")
    fetch("image-folder", images.as_uri(), tmp_path / "raw")
    config = replace(CONFIG, channels=3)
    raw = READERS["image-folder"](tmp_path / "raw")
    info = prepare(raw, "image-folder", config, tmp_path / "prepared")
    assert info.classes == ("blue", "red")
    train = load_split(tmp_path / "prepared", "train")
    assert train.images.shape[1:] == (3, 8, 8)
    for image, label in zip(train.images, train.labels, strict=True):
        assert image[0 if info.classes[label] == "red" else 2].min() > 210


def test_broken_images_are_skipped_counted_and_named(tmp_path: Path) -> None:
    images = make_image_folder(tmp_path / "images")
    (images / "red" / "broken.png").write_bytes(b"not an image")
    data = (images / "red" / "0.png").read_bytes()
    (images / "red" / "cut.png").write_bytes(data[: len(data) // 2])
    raw = READERS["image-folder"](images)
    info = prepare(raw, "image-folder", replace(CONFIG, channels=3), tmp_path / "prepared")
    assert sorted(file for file, _ in info.skipped) == ["red/broken.png", "red/cut.png"]
    assert sum(sum(counts.values()) for counts in info.counts.values()) == 24


def test_a_class_with_one_image_is_an_error_and_nothing_is_left_half_written(
    tmp_path: Path,
) -> None:
    images = make_image_folder(tmp_path / "images")
    for file in list((images / "red").iterdir())[1:]:
        file.unlink()
    raw = READERS["image-folder"](images)
    with pytest.raises(UserError, match="class 'red' has too few"):
        prepare(raw, "image-folder", CONFIG, tmp_path / "prepared")
    assert not list(tmp_path.glob("prepared*"))


def test_a_folder_without_images_or_with_one_class_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"in .* it needs one folder for each class"):
        fetch("image-folder", (tmp_path / "empty").as_uri(), tmp_path / "raw")
    with pytest.raises(UserError, match=r"in .* it needs one folder for each class"):
        fetch("image-folder", (tmp_path / "none").as_uri(), tmp_path / "raw")
    one = make_image_folder(tmp_path / "one")
    (one / "red").rename(tmp_path / "red")
    with pytest.raises(UserError, match="at least two"):
        READERS["image-folder"](one)


def test_a_failed_fetch_leaves_the_data_that_was_there(tmp_path: Path) -> None:
    fetch("digits", None, tmp_path / "raw")
    before = (tmp_path / "raw" / "digits.csv.gz").read_bytes()
    with pytest.raises(DownloadError):
        fetch("digits", (tmp_path / "nowhere").as_uri(), tmp_path / "raw")
    assert (tmp_path / "raw" / "digits.csv.gz").read_bytes() == before


def test_data_source_url_takes_precedence_over_the_params(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_SOURCE_URL", (tmp_path / "mirror").as_uri())
    with pytest.raises(DownloadError, match="mirror"):
        fetch("digits", None, tmp_path / "raw")
