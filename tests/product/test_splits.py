"""Splits that only grow, copies, contradicting labels, and folders that hold more than images."""

import csv
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from my_project.config import PrepareConfig
from my_project.data.copies import leave_out_copies
from my_project.data.dataset import SPLITS, DatasetInfo, load_from_feedback, load_split
from my_project.data.fetch import fetch
from my_project.data.image_folder import add_feedback, read_image_folder
from my_project.data.prepare import prepare
from my_project.data.sources import READERS
from my_project.data.split import assign_splits, hash_positions
from my_project.errors import UserError

from ..test_data import CONFIG


def splits_of(keys: list[str], seed: int = 0) -> dict[str, str]:
    none = np.full(len(keys), "")
    names = assign_splits(
        hash_positions(keys, seed),
        none,
        none == "x",
        validation_fraction=0.15,
        test_fraction=0.2,
    )
    return dict(zip(keys, names.tolist(), strict=True))


keys = st.lists(st.text(min_size=1), unique=True, max_size=50)


@given(keys, keys, st.randoms())
def test_adding_removing_and_reordering_moves_no_image_that_stays(
    old: list[str], new: list[str], random: Random
) -> None:
    before = splits_of(old)
    mixed = list({*old[len(old) // 2 :], *new})
    random.shuffle(mixed)
    after = splits_of(mixed)
    assert all(after[key] == split for key, split in before.items() if key in after)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_the_shares_stay_within_what_chance_allows(seed: int) -> None:
    names = list(splits_of([str(number) for number in range(5000)], seed).values())
    for split, share in (("test", 0.2), ("validation", 0.8 * 0.15), ("train", 0.8 * 0.85)):
        # Five standard deviations of a binomial share: one seed in two million is outside.
        assert abs(names.count(split) / 5000 - share) < 5 * np.sqrt(share * (1 - share) / 5000)


def draw(folder: Path, label: str, name: str, shade: int) -> Path:
    """A grey image of one shade."""
    path = folder / label / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), shade).save(path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes of 60 images."""
    for label, first in (("cat", 0), ("dog", 120)):
        for number in range(60):
            draw(tmp_path / "images", label, f"patient{number // 6}-{number}.png", first + number)
    return tmp_path / "images"


def prepared(images: Path, config: PrepareConfig = CONFIG) -> tuple[DatasetInfo, dict[int, str]]:
    """The data set, and the split of each shade of grey."""
    target = images.parent / "prepared"
    feedback = images.parent / "feedback"
    info = prepare(add_feedback(read_image_folder(images), feedback), "mine", config, target)
    shades: dict[int, str] = {
        int(image[0, 0, 0]): split for split in SPLITS for image in load_split(target, split).images
    }
    assert len(shades) == sum(info.num_images(split) for split in SPLITS)
    return info, shades


def test_renaming_and_copying_images_moves_none(images: Path) -> None:
    _, before = prepared(images)
    for number, file in enumerate(sorted(images.glob("*/*"))):
        file.rename(file.with_name(f"renamed-{999 - number}.png"))
    for number in range(60):
        draw(images, "cat", f"copy-{number}.png", number)
    info, after = prepared(images)
    assert after == before
    assert info.num_copies == 60


def test_the_size_of_each_test_image_is_that_of_its_own_file(images: Path, tmp_path: Path) -> None:
    files = sorted(images.glob("*/*.png"))
    files[0].write_bytes(b"broken")  # so that files, usable and used images are counted apart
    for number, file in enumerate(files[1:]):
        with Image.open(file) as image:
            larger = image.resize((image.width + number, image.height))
        larger.save(file)
    files[1].write_bytes(files[2].read_bytes())
    prepare(read_image_folder(images), "image-folder", CONFIG, tmp_path / "prepared")
    with (tmp_path / "prepared/test_origins.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert len({row["size"] for row in rows}) > 1
    for row in rows:
        with Image.open(row["image"]) as image:
            assert int(row["size"]) == image.width * image.height


def test_an_image_in_two_classes_is_left_out_of_both_and_named(images: Path) -> None:
    draw(images, "dog", "really-a-cat.png", 7)
    info, shades = prepared(images)
    assert 7 not in shades
    assert sorted(info.skipped) == [
        ("cat/patient1-7.png", "the same image is in cat and dog"),
        ("dog/really-a-cat.png", "the same image is in cat and dog"),
    ]


def test_too_many_contradicting_labels_are_refused(images: Path) -> None:
    for number in range(4):
        draw(images, "dog", f"wrong-{number}.png", number)
    with pytest.raises(UserError, match=r"8 of 124 images are in more than one class, such as cat"):
        prepared(images)


def test_a_group_stays_together(images: Path) -> None:
    _, alone = prepared(images)
    _, shades = prepared(images, replace(CONFIG, group_pattern=r"^(patient\d+)-"))
    groups = [{shades[120 * label + 6 * group + n] for n in range(6) for label in range(2)}
              for group in range(10)]  # fmt: skip
    assert all(len(splits) == 1 for splits in groups)
    assert shades != alone


def test_the_users_own_split_is_kept(images: Path) -> None:
    own = images.parent / "own"
    for split, numbers in (("train", range(30)), ("val", range(30, 40)), ("test", range(40, 60))):
        for label, first in (("cat", 0), ("dog", 120)):
            for number in numbers:
                draw(own / split, label, f"{number}.png", first + number)
    draw(own / "train", "cat", "copy-of-a-test-image.png", 45)
    info, shades = prepared(own)
    assert info.classes == ("cat", "dog")
    assert [shades[number] for number in (0, 35, 45)] == ["train", "validation", "test"]
    assert info.num_copies == 1
    fetch("image-folder", own.as_uri(), images.parent / "raw")
    assert read_image_folder(images.parent / "raw").classes == ("cat", "dog")


def test_folders_of_other_programs_are_no_classes_and_other_files_are_counted(images: Path) -> None:
    for folder in (".ipynb_checkpoints", ".thumbnails", "@eaDir", "__MACOSX", "cat/.thumbnails"):
        draw(images, folder, "x.png", 200)
    (images / "cat" / "folder.png").mkdir()
    for name in ("a.gif", "b.GIF", "c.bmp"):
        (images / "dog" / name).write_bytes(b"GIF89a")
    draw(images, "cat", "x.png", 250).rename(images / "cat" / "x.jfif")
    fetch("image-folder", images.as_uri(), images.parent / "raw")
    info, shades = prepared(images.parent / "raw")
    assert info.classes == ("cat", "dog")
    assert 200 not in shades
    assert 250 in shades
    assert info.ignored == {".gif": 2, ".bmp": 1}


def test_feedback_joins_any_data_set_and_some_of_it_is_test_images(tmp_path: Path) -> None:
    fetch("digits", None, tmp_path / "raw")
    raw = READERS["digits"](tmp_path / "raw")
    before = prepare(raw, "digits", CONFIG, tmp_path / "before")
    for number in range(60):
        draw(tmp_path / "feedback", "7", f"{number:032x}.png", number)
    sample = load_split(tmp_path / "before", "test").images[0]
    Image.fromarray(sample[0]).save(tmp_path / "feedback/7/sample.png")
    joined = add_feedback(raw, tmp_path / "feedback")
    after = prepare(joined, "digits", CONFIG, tmp_path / "after")
    assert after.num_copies == 1  # the test image, which is no training image now
    assert sum(after.num_from_feedback.values()) == 60
    assert all(count > 0 for count in after.num_from_feedback.values())
    for split in SPLITS:
        from_feedback = load_from_feedback(tmp_path / "after", split)
        images = load_split(tmp_path / "after", split).images
        assert np.array_equal(images[~from_feedback], load_split(tmp_path / "before", split).images)
        assert after.num_images(split) == before.num_images(split) + from_feedback.sum()
    (tmp_path / "feedback/7").rename(tmp_path / "feedback/seven")
    with pytest.raises(UserError, match="seven is no class of this data set"):
        add_feedback(raw, tmp_path / "feedback")


def test_a_data_sets_own_test_set_stays_and_takes_its_copies_out_of_training() -> None:
    digests = ["a", "b", "a", "a", "b", "c"]
    given_splits = np.array(["", "", "test", "test", "", ""])
    labels = np.array([0, 1, 0, 1, 1, 0])
    from_feedback = np.array([False] * 5 + [True])
    found = leave_out_copies(digests, labels, given_splits, from_feedback)
    assert found.rows.tolist() == [1, 2, 3, 5]
    assert found.num_copies == 2
    assert found.contradictions == []
