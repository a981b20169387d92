"""`make predict`: the service's predictions for a folder, whatever is in it."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from my_project.metadata import ModelMetadata

from ..digits import digit_images
from ..serving_helpers import PNG, eventually, png, running_server, write_model

NUM_IMAGES = 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in two folders, one of them broken, and a file that is no image."""
    folder = tmp_path_factory.mktemp("images")
    for number, image in enumerate(digit_images()[0][:NUM_IMAGES]):
        file = folder / str(number % 2) / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(png(image))
    (folder / "1/broken, really.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image either", encoding="utf-8")
    return folder


def start(folder: Path, output: Path, model_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "my_project.serving.predict_folder", str(folder), str(output)],
        env=os.environ | {"MODEL_DIR": str(model_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def predict(folder: Path, output: Path, model_dir: Path, returncode: int = 0) -> str:
    """What the command prints."""
    process = start(folder, output, model_dir)
    printed, errors = process.communicate()
    assert process.returncode == returncode, errors
    return printed or errors


def read(output: Path) -> list[dict[str, str]]:
    with output.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_each_image_has_the_label_that_the_service_gives_it_and_broken_ones_are_counted(
    folder: Path, model_dir: Path, tmp_path: Path
) -> None:
    output = tmp_path / "predictions.csv"
    printed = predict(folder, output, model_dir)
    assert printed == f"{output}: 1,001 images, of which 1 are broken\n"
    rows = read(output)
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    [broken] = [row for row in rows if row["error"]]
    assert (broken["file"], broken["label"]) == ("1/broken, really.png", "")
    assert broken["error"].startswith("not an image in one of the formats")
    with running_server(model_dir) as client:
        for row in rows[:20]:
            found = ask(client, folder / row["file"])
            assert row["label"] == found["label"]
            assert float(row["confidence"]) == pytest.approx(found["probability"], abs=1e-5)
            assert row["model"] == ModelMetadata.load(model_dir).sha256[:12]


def ask(client: httpx.Client, file: Path) -> dict[str, str | float]:
    response = client.post("/v1/predict", content=file.read_bytes(), headers=PNG)
    found: dict[str, str | float] = response.json()["probabilities"][0]
    return found


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_run_that_was_killed_goes_on_where_it_stopped(
    folder: Path, model_dir: Path, tmp_path: Path
) -> None:
    whole, output = tmp_path / "whole.csv", tmp_path / "output.csv"
    predict(folder, whole, model_dir)
    process = start(folder, output, model_dir)
    assert eventually(lambda: output.exists() and output.stat().st_size > 200)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with output.open("rb+") as file:  # as a kill in the middle of a write leaves it
        file.truncate(file.seek(0, os.SEEK_END) - 5)
    kept = output.read_bytes().rpartition(b"\n")[0]
    predict(folder, output, model_dir)
    assert output.read_bytes().startswith(kept)
    assert read(output) == read(whole)


def test_a_second_run_predicts_new_images_alone(
    folder: Path, model_dir: Path, tmp_path: Path
) -> None:
    images, output = tmp_path / "images", tmp_path / "predictions.csv"
    images.mkdir()
    name = os.fsdecode(b"2-\xff.png")  # no UTF-8
    for number, file in enumerate(("1.png", name)):
        (images / file).write_bytes((folder / f"{number}/{number}.png").read_bytes())
        before = output.read_bytes() if number else b""
        printed = predict(images, output, model_dir)
        assert printed.endswith(f"{number + 1} images, of which 0 are broken\n")
        assert output.read_bytes().startswith(before)
    assert output.read_bytes().splitlines()[2].startswith(b"2-\xff.png,1,")


def test_predictions_of_two_models_are_not_mixed(
    folder: Path, model_dir: Path, tmp_path: Path
) -> None:
    output = tmp_path / "predictions.csv"
    predict(folder, output, model_dir)
    before = output.read_bytes()
    other = write_model(tmp_path / "other")
    output.write_bytes(before.replace(other.sha256[:12].encode(), b"0" * 12))
    message = predict(folder, output, model_dir, returncode=2)
    assert "has predictions of another model" in message


@pytest.mark.parametrize(
    ("given", "output", "message"),
    [
        ("nowhere", "a.csv", "INPUT has to be a folder of images, not 'nowhere'"),
        ("", "a.csv", "INPUT has to be a folder"),
        (".", "a.parquet", "OUTPUT has to be a .csv file, not 'a.parquet'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    given: str, output: str, message: str, model_dir: Path
) -> None:
    assert message in predict(Path(given or "nothing"), Path(output), model_dir, returncode=2)
