"""Batches: each image once an epoch, augmented as the seed says, from memory or from the disk."""

import itertools

import numpy as np
import pytest
import torch

from package_name.config import Location
from package_name.data.dataset import Split, load_split
from package_name.data.loader import BatchLoader, epoch_seed
from package_name.data.storage import (
    OnDevice,
    OnDisk,
    open_storage,
)

from .digits import digits
from .training_run import CPU

NUM_IMAGES = 1050


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """Scanned digits as `prepare` writes them: memory-mapped."""
    folder = tmp_path_factory.mktemp("prepared")
    whole = digits(0, NUM_IMAGES)
    np.save(folder / "train_images.npy", whole.images)
    np.save(folder / "train_labels.npy", whole.labels)
    return load_split(folder, "train")


def loader(
    split: Split,
    *,
    location: Location = "device",
    seed: int = 0,
    crop_padding: int = 0,
    horizontal_flip: bool = False,
) -> BatchLoader:
    return BatchLoader(
        split,
        batch_size=100,
        device=CPU,
        location=location,
        seed=seed,
        crop_padding=crop_padding,
        horizontal_flip=horizontal_flip,
    )


def rows(images: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple(image.flatten().tolist()) for image in images}


def test_an_epoch_has_every_image_once_in_another_order_each_time(split: Split) -> None:
    batches = loader(split)
    first, second = ([labels for _, labels in batches.epoch(number)] for number in (1, 2))
    assert len(first) == len(batches) == 11
    assert np.array_equal(np.sort(torch.cat(first)), np.sort(split.labels))
    assert not torch.cat(first).equal(torch.cat(second))


@pytest.mark.parametrize("location", ["device", "disk"])
def test_an_epochs_shuffling_and_augmentation_follow_from_its_number_alone(
    split: Split, location: Location
) -> None:
    batches = loader(split, seed=3, crop_padding=1, horizontal_flip=True)
    list(batches.epoch(1))
    again = loader(split, location=location, seed=3, crop_padding=1, horizontal_flip=True)
    for (images, labels), (same, same_labels) in zip(batches.epoch(2), again.epoch(2), strict=True):
        assert images.equal(same)
        assert labels.equal(same_labels)


def test_no_two_epochs_or_processes_share_a_seed() -> None:
    epochs = [epoch_seed(0, epoch) for epoch in range(50)]
    processes = [epoch_seed(0, epoch, rank) for epoch in range(50) for rank in range(4)]
    assert len({*epochs, *processes}) == 250


@pytest.mark.parametrize("location", ["device", "disk"])
def test_an_epoch_goes_on_from_any_step(split: Split, location: Location) -> None:
    batches = loader(split, location=location, crop_padding=1, horizontal_flip=True)
    whole, rest = list(batches.epoch(1)), list(batches.epoch(1, first_step=7))
    assert len(rest) == 4
    for (images, labels), (same, same_labels) in zip(whole[7:], rest, strict=True):
        assert images.equal(same)
        assert labels.equal(same_labels)


@pytest.mark.parametrize("location", ["device", "disk"])
def test_in_order_has_every_image_as_it_is(split: Split, location: Location) -> None:
    images, labels = zip(*loader(split, location=location).in_order(), strict=True)
    assert np.array_equal(torch.cat(images), split.images)
    assert np.array_equal(torch.cat(labels), split.labels)


def test_a_crop_shifts_an_image_by_at_most_the_padding(split: Split) -> None:
    images = torch.cat([images for images, _ in loader(split, crop_padding=1).epoch(1)])
    assert images.shape == split.images.shape
    starts = itertools.product(range(3), range(3))
    windows = [rows(images[:, :, top : top + 6, left : left + 6]) for top, left in starts]
    assert rows(torch.from_numpy(split.images[:, :, 1:-1, 1:-1].copy())) <= set().union(*windows)


def test_a_flip_mirrors_about_half_of_the_images(split: Split) -> None:
    plain = rows(torch.from_numpy(split.images.copy()))
    images = torch.cat([images for images, _ in loader(split, horizontal_flip=True).epoch(1)])
    num_kept = sum(tuple(image.flatten().tolist()) in plain for image in images)
    num_mirrored = sum(tuple(image.flip(-1).flatten().tolist()) in plain for image in images)
    assert num_kept + num_mirrored >= len(images)
    assert 0.4 < num_mirrored / len(images) < 0.6


def test_images_that_do_not_fit_into_memory_stay_on_the_disk(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(open_storage(split, CPU, "auto"), OnDevice)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000000000")  # processes that share the memory
    assert isinstance(open_storage(split, CPU, "auto"), OnDisk)
    assert isinstance(open_storage(split, CPU, "device"), OnDevice)
