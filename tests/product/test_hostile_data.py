"""Files that nobody makes on purpose, or only with a bad one: names, links, broken contents."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from my_project.data.fetch import fetch
from my_project.data.image_folder import LINK, read_image_folder
from my_project.data.prepare import prepare
from my_project.errors import UserError
from my_project.export import check_onnx, export_onnx
from my_project.monitoring.drift import start_of
from my_project.preprocess import ImageSpec

from ..digits import digit_images, digits
from ..serving_helpers import png
from ..test_data import CONFIG
from ..training_run import build
from .commands import command

PROJECT = Path(__file__).parents[2]
READ = ("data/prepared", "metrics", "params.yaml", "model", "reports")


def run(
    folder: Path, module: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    variables["GIT_CEILING_DIRECTORIES"] = str(folder.parent)
    return command(module, *arguments, cwd=folder, **variables)


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence that a command has ended with, and not with a verdict."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the pipeline has written, in a folder of its own."""
    folder = tmp_path / "project"
    for name in READ:
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copyfile
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy(PROJECT / name, folder / name)
    return folder


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("metrics/evaluation.json", "stages.gate"),
        ("reports/predictions.csv", "stages.gate"),
        ("model/metadata.json", "stages.gate"),
        ("model/metadata.json", "monitoring.drift"),
        ("model/reference.json", "monitoring.drift"),
        ("data/prepared/dataset.json", "stages.report"),
        ("build/feedback/feedback.json", "monitoring.accept_feedback"),
    ],
)
@pytest.mark.parametrize("content", [b"[", b"1", b"\xff"])
def test_a_broken_file_is_named_in_one_sentence(
    content: bytes, file: str, module: str, project: Path
) -> None:
    (project / file).parent.mkdir(parents=True, exist_ok=True)
    (project / file).write_bytes(content)
    assert file in error_of(run(project, module))


def test_a_wrong_setting_and_a_folder_in_place_of_a_file_are_one_sentence(project: Path) -> None:
    message = error_of(run(project, "monitoring.drift", PORT="abc"))
    assert message.startswith("error: Settings: port: Input should be a valid integer")
    (project / "metrics/evaluation.json").unlink()
    (project / "metrics/evaluation.json").mkdir()
    assert "metrics/evaluation.json: Is a directory" in error_of(run(project, "stages.gate"))


def test_what_nobody_has_thought_of_is_a_traceback_and_no_verdict(project: Path) -> None:
    evaluation = json.loads((project / "metrics/evaluation.json").read_text("utf-8"))
    del evaluation["nll"]
    (project / "metrics/evaluation.json").write_text(json.dumps(evaluation), "utf-8")
    done = run(project, "stages.gate")
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def change_evaluation(project: Path, change: Callable[[dict[str, Any]], None]) -> None:
    file = project / "metrics/evaluation.json"
    metrics = json.loads(file.read_text("utf-8"))
    change(metrics)
    file.write_text(json.dumps(metrics), "utf-8")


def change_predictions(project: Path, change: Callable[[dict[str, str]], None]) -> None:
    file = project / "reports/predictions.csv"
    with file.open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    for row in rows:
        change(row)
    with file.open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_the_gate_believes_the_pipelines_own_files(project: Path) -> None:
    done = run(project, "stages.gate")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda row: row.update(prediction=row["label"]),
            "another label than reports/predictions.csv says",
        ),
        (
            lambda row: row.update(label="0", prediction="0"),
            "is not about the test split in data/prepared",
        ),
    ],
)
def test_the_gate_does_not_believe_predictions_that_are_not_the_models(
    change: Callable[[dict[str, str]], None], message: str, project: Path
) -> None:
    # Upside down, which the model was not trained for.
    images = np.load(project / "data/prepared/test_images.npy")
    np.save(project / "data/prepared/test_images.npy", images[:, :, ::-1])
    change_evaluation(project, lambda metrics: metrics.update(accuracy=1.0))
    change_predictions(project, change)
    assert message in error_of(run(project, "stages.gate"))


def test_the_gate_does_not_believe_an_accuracy_that_is_not_that_of_the_predictions(
    project: Path,
) -> None:
    shutil.rmtree(project / "model")
    change_evaluation(project, lambda metrics: metrics.update(accuracy=0.999999))
    message = error_of(run(project, "stages.gate"))
    assert "metrics/evaluation.json says that the accuracy is 0.999999, and reports/" in message


def image_folder(folder: Path) -> Path:
    """Two classes of twenty digits each."""
    images, labels = digit_images()
    for label in (3, 7):
        (folder / str(label)).mkdir(parents=True)
        for number, image in enumerate(images[labels == label][:20]):
            (folder / str(label) / f"{number}.png").write_bytes(png(image))
    return folder


def raw_of(images: Path) -> Path:
    raw = images.parent / "raw"
    fetch("image-folder", images.as_uri(), raw)
    return raw


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux may a name be any bytes")
def test_a_file_name_that_is_no_text_is_written_with_escapes(tmp_path: Path) -> None:
    images = image_folder(tmp_path / "images")
    for file in list((images / "3").iterdir()):
        file.rename(file.with_name(os.fsdecode(b"\xff" + file.name.encode())))
    for name in (b"broken\n\xff.png", b"n.\xfe"):
        (images / "7" / os.fsdecode(name)).write_bytes(b"no image")
    raw = raw_of(images)
    assert all(file.as_posix().isprintable() for file in raw.rglob("*"))  # or DVC refuses it
    for folder in (raw, images):
        data = read_image_folder(folder)
        info = prepare(data, "image-folder", CONFIG, tmp_path / "prepared")
        assert [name for name, _ in info.skipped] == [r"7/broken\n\udcff.png"]
        assert r"\udcff" in (tmp_path / "prepared/test_origins.csv").read_text("utf-8")
    assert read_image_folder(raw).ignored == {r".\udcfe": 1}


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux may a name be any bytes")
@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines", b"\x1b[31mred", "a\u2028b".encode()])
def test_a_class_name_that_is_no_line_of_text_is_refused(name: bytes, tmp_path: Path) -> None:
    images = image_folder(tmp_path / "images")
    (images / "3").rename(images / os.fsdecode(name))
    with pytest.raises(UserError) as caught:
        read_image_folder(images)
    with pytest.raises(UserError, match="rename it"):
        raw_of(images)
    assert re.fullmatch(
        r"folder '[ -~]+': rename it, to one line of text in UTF-8", str(caught.value)
    )


def test_a_class_name_may_be_in_any_language(tmp_path: Path) -> None:
    images = image_folder(tmp_path / "images")
    (images / "3").rename(images / "می‌خواهم")  # with a zero-width non-joiner
    (images / "7").rename(images / "café 🐈")
    assert set(read_image_folder(raw_of(images)).classes) == {"می‌خواهم", "café 🐈"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets only some users make links")
def test_what_a_link_leads_to_outside_the_folder_is_not_copied(tmp_path: Path) -> None:
    images = image_folder(tmp_path / "images")
    (tmp_path / "secret").write_bytes(b"secret")
    (images / "3/x.png").symlink_to(tmp_path / "secret")
    (images / "3/y.png").symlink_to("../../secret")
    (images / "3/z.png").symlink_to(images / "3/0.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/x.png").write_bytes(b"secret")
    (images / "9").symlink_to(tmp_path / "elsewhere")
    raw = raw_of(images)
    copied = {file.relative_to(raw).as_posix() for file in raw.rglob("*.png")}
    assert "3/z.png" in copied
    assert not copied & {"3/x.png", "3/y.png", "9/x.png"}
    assert read_image_folder(raw).ignored == {LINK: 3}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets only some users make links")
def test_links_into_dvcs_cache_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = image_folder(tmp_path / "images")
    cached = tmp_path / ".dvc/cache/files/ab"
    cached.parent.mkdir(parents=True)
    (images / "3/0.png").rename(cached)
    (images / "3/0.png").symlink_to(cached)
    monkeypatch.chdir(tmp_path)
    assert (raw_of(images) / "3/0.png").read_bytes() == cached.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_what_is_no_file_is_not_predicted(model_dir: Path, tmp_path: Path) -> None:
    images = image_folder(tmp_path / "images")
    os.mkfifo(images / "f.png")
    (images / "g.png").mkdir()
    output = str(tmp_path / "a.csv")
    done = run(tmp_path, "serving.predict_folder", str(images), output, MODEL_DIR=str(model_dir))
    assert done.stdout == f"{output}: 40 images, of which 0 are broken\n", done.stderr


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("missing/a.csv", "missing/a.csv: No such file or directory"),
        ("folder.csv", "folder.csv: Is a directory"),
        ("foreign.csv", "foreign.csv is not from this command: choose another file"),
        ("one-line.csv", "one-line.csv is not from this command"),
        ("a.csv", "model/metadata.json"),
    ],
)
def test_an_output_or_a_model_that_cannot_be_used_is_one_sentence_and_nothing_is_changed(
    output: str, message: str, model_dir: Path, tmp_path: Path
) -> None:
    images = image_folder(tmp_path / "images")
    (tmp_path / "folder.csv").mkdir()
    foreign = {"foreign.csv": b"name,age\nana,30\nben,40", "one-line.csv": b"name,age"}
    for name, content in foreign.items():
        (tmp_path / name).write_bytes(content)
    if output == "a.csv":
        model_dir = tmp_path / "model"
        model_dir.mkdir()
        (model_dir / "metadata.json").write_bytes(b"{")
    done = run(tmp_path, "serving.predict_folder", str(images), output, MODEL_DIR=str(model_dir))
    assert message in error_of(done)
    for name, content in foreign.items():
        assert (tmp_path / name).read_bytes() == content


def test_make_drift_gives_days_to_no_shell(tmp_path: Path) -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "drift", "UV=uv", "DAYS=1; touch x #"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    assert "monitoring.drift" in shown.stdout
    assert "touch" not in shown.stdout


@pytest.mark.parametrize(
    "days", ["nan", "inf", "-inf", "-1", "0", "1e300", "1e9", "1e-300", "", "x"]
)
def test_a_window_is_a_number_of_days_that_have_been(days: str) -> None:
    with pytest.raises(UserError, match="DAYS has to be a number of days above 0, such as 7"):
        start_of(days)


def test_days_come_by_the_environment_or_by_an_option(project: Path) -> None:
    message = error_of(run(project, "monitoring.drift", DAYS="1; touch x"))
    assert "and not '1; touch x'" in message
    assert "and not 'nan'" in error_of(run(project, "monitoring.drift", "--days", "nan", DAYS="1"))


def test_logits_that_are_no_numbers_are_not_those_of_pytorch(tmp_path: Path) -> None:
    model, path = build("cnn"), tmp_path / "model.onnx"
    export_onnx(model, ImageSpec(1, 8, 8), path, opset=20)
    limits = {"max_logit_error": 1e-4, "max_label_changes": 1.0}
    check_onnx(model, path, digits(0, 9).images, **limits)
    with pytest.raises(UserError, match="differs from PyTorch"):
        check_onnx(model, path, digits(0, 9).images, temperature=float("nan"), **limits)
