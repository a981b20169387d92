"""Drift of stored predictions, in real databases: found where it is, and nothing is changed."""

import re
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sqlalchemy as sa
from PIL import Image

from my_project.metadata import ModelMetadata
from my_project.monitoring.drift import compare, visible_distance
from my_project.monitoring.reference import FloatArray, measure, save_reference
from my_project.monitoring.window import read_window
from my_project.serving.predictor import Predictor
from my_project.serving.records import connect, feedback, metadata, predictions

from ..digits import digit_images
from .commands import command
from .conftest import Postgresql

NOW = datetime.now(UTC)
NUM_REFERENCE = 800  # of the digits; the others are the stream
CLASSES = tuple("0123456789")
Images = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def predict(model_dir: Path) -> Callable[[Images], FloatArray]:
    """What is stored about images (N, 8, 8); as in reference.py."""
    predictor = Predictor.load(model_dir, num_threads=1)

    def predict(images: Images) -> FloatArray:
        probabilities = predictor.predict(images[:, None])
        return measure(images[:, None], np.log(np.maximum(probabilities, 1e-30)))

    return predict


@pytest.fixture(scope="module")
def reference(predict: Callable[[Images], FloatArray], model_dir: Path) -> FloatArray:
    """The sample beside the model, as `export` leaves it."""
    sample = predict(digit_images()[0][:NUM_REFERENCE])
    save_reference(model_dir, sample, CLASSES)
    return sample


def stream(num_images: int, seed: int = 0) -> Images:
    images = digit_images()[0][NUM_REFERENCE:]
    return images[np.random.default_rng(seed).permutation(len(images))[:num_images]]


def rotated(images: Images) -> Images:
    turned = [Image.fromarray(image).rotate(30, Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(image) for image in turned])


def remixed(images: Images) -> Images:
    """The same images, with half as many again of those with much ink."""
    ink = images.reshape(len(images), -1).mean(axis=1)
    rows = np.concatenate([np.argsort(ink)[len(ink) // 2 :], np.arange(len(ink))])
    return np.asarray(images[rows])


SHIFTS: dict[str, Callable[[Images], Images]] = {
    "darkened": lambda images: (images * 0.7).astype(np.uint8),
    "rotated": rotated,
    "remixed": remixed,
}


@contextmanager
def writing(url: str) -> Iterator[sa.Connection]:
    """A transaction of somebody who may write."""
    engine = connect(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def store(url: str, sample: FloatArray, *, model: str, age: float = 0.1, start: int = 0) -> None:
    """Put predictions into a database as the service does; `age` in days."""
    fields: dict[str, Any] = {"time": NOW - timedelta(days=age), "model_sha256": model}
    fields |= {"api_key": "ana", "num_bytes": 1, "image": None}
    rows = [
        fields
        | {"id": f"{start + number}", "label": CLASSES[int(row[:-2].argmax())]}
        | {"probabilities": row[:-2].tolist(), "pixel_mean": row[-2], "pixel_std": row[-1]}
        for number, row in enumerate(sample)
    ]
    with writing(url) as connection:
        metadata.create_all(connection)
        connection.execute(predictions.insert(), rows)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shop #1.db"
    server: Postgresql = request.getfixturevalue("postgresql")
    with writing(server.url) as connection:
        metadata.drop_all(connection)
    return server.url


def drift(
    folder: Path, model_dir: Path, database: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """`make drift` in a folder of its own."""
    variables = {"DATABASE_URL": database, "MODEL_DIR": str(model_dir)}
    return command("monitoring.drift", *arguments, cwd=folder, **variables)


@pytest.mark.usefixtures("reference")
def test_the_exit_code_and_the_report_say_whether_there_is_drift(
    predict: Callable[[Images], FloatArray], model_dir: Path, database: str, tmp_path: Path
) -> None:
    model = ModelMetadata.load(model_dir).sha256
    store(database, predict(stream(400)), model=model)
    same = drift(tmp_path, model_dir, database)
    assert (same.returncode, same.stderr) == (0, "")
    assert same.stdout.startswith("## Drift: none found\n\n400 predictions of the model")
    assert "the reference is 800 validation images" in same.stdout

    store(database, predict(rotated(stream(400))), model=model, age=0.01, start=1000)
    shifted = drift(tmp_path, model_dir, database, "--days", "0.05")
    assert (shifted.returncode, shifted.stderr) == (1, "")
    assert shifted.stdout.startswith("## Drift: found\n\n400 predictions")
    assert re.search(r"\| probability of \d \| 0\.\d{3} \| < 0\.001 \| \d", shifted.stdout)
    assert (tmp_path / "build/drift/report.md").read_text("utf-8") == shifted.stdout
    with Image.open(tmp_path / "build/drift/drift.png") as plot:
        assert plot.format == "PNG"


@pytest.mark.usefixtures("reference")
def test_accuracy_is_that_of_the_newest_feedback_with_wilsons_interval(
    predict: Callable[[Images], FloatArray], model_dir: Path, database: str, tmp_path: Path
) -> None:
    model = ModelMetadata.load(model_dir).sha256
    sample = predict(stream(120))
    store(database, sample, model=model)
    with writing(database) as connection:
        for number, row in enumerate(sample[:50]):
            label = CLASSES[int(row[:-2].argmax())]
            said = [label] if number < 45 else [label, "none"]  # the first of two does not count
            for given in said:
                values = {"prediction_id": str(number), "time": NOW, "label": given}
                connection.execute(feedback.insert(), values)
    done = drift(tmp_path, model_dir, database)
    assert "Of 50 predictions with feedback, 45 are right: 90.0 %" in done.stdout
    assert "(95 % interval 78.6 % to 95.7 %)" in done.stdout  # Wilson 1927


@pytest.mark.usefixtures("reference")
def test_few_images_and_those_of_other_models_decide_nothing(
    predict: Callable[[Images], FloatArray], model_dir: Path, database: str, tmp_path: Path
) -> None:
    model = ModelMetadata.load(model_dir).sha256
    store(database, predict(rotated(stream(99))), model=model)
    store(database, predict(rotated(stream(300))), model="0" * 64, start=1000)
    store(database, predict(rotated(stream(300))), model=model, age=2, start=2000)
    done = drift(tmp_path, model_dir, database)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("## Drift: too few images to tell\n\n99 predictions")
    assert "300 predictions of other models are left out." in done.stdout
    assert drift(tmp_path, model_dir, database, "--days", "3").returncode == 1


@pytest.mark.usefixtures("reference")
def test_an_image_that_is_sent_a_thousand_times_is_one_observation(
    predict: Callable[[Images], FloatArray], model_dir: Path, database: str, tmp_path: Path
) -> None:
    model = ModelMetadata.load(model_dir).sha256
    sample = predict(stream(300))
    store(database, np.repeat(sample[:1], 1000, axis=0), model=model)
    few = drift(tmp_path, model_dir, database)
    assert few.stdout.startswith("## Drift: too few images to tell\n\n1,000 predictions")
    assert "of which 1 different ones were drawn at random" in few.stdout
    store(database, sample, model=model, start=1000)
    same = drift(tmp_path, model_dir, database)
    assert (same.returncode, same.stderr) == (0, "")
    assert same.stdout.startswith("## Drift: none found\n\n1,300 predictions")


@pytest.mark.usefixtures("reference")
def test_reading_changes_nothing_and_creates_nothing(
    predict: Callable[[Images], FloatArray], model_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "predictions.db"
    done = drift(tmp_path, model_dir, f"sqlite:///{file}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: the database of DATABASE_URL cannot be read: unable")
    assert not file.exists()
    store(f"sqlite:///{file}", predict(stream(10)), model="m")
    before = file.read_bytes()
    assert drift(tmp_path, model_dir, f"sqlite:///{file}").returncode == 0
    assert file.read_bytes() == before


def test_a_role_that_may_only_read_is_enough(
    predict: Callable[[Images], FloatArray],
    model_dir: Path,
    reference: FloatArray,
    postgresql: Postgresql,
    tmp_path: Path,
) -> None:
    store(postgresql.url, reference[:10], model="read-only", start=5000)
    with writing(postgresql.url) as connection:
        connection.execute(sa.text("CREATE ROLE monitor LOGIN"))
        connection.execute(sa.text("GRANT SELECT ON predictions, feedback TO monitor"))
    url = postgresql.url.replace("test@", "monitor@")
    assert drift(tmp_path, model_dir, url).returncode == 0
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
        store(url, reference[:1], model="read-only", start=6000)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DATABASE_URL": "postgresql+psycopg://x@127.0.0.1:1/x"}, "connection"),
        ({"DATABASE_URL": "nonsense"}, "Could not parse SQLAlchemy URL"),
        ({"MODEL_DIR": "nowhere"}, "nowhere/reference.json not found: run the pipeline first"),
    ],
)
@pytest.mark.usefixtures("reference")
def test_an_error_is_one_sentence_and_another_exit_code_than_drift(
    variables: dict[str, str], message: str, model_dir: Path, tmp_path: Path
) -> None:
    done = command("monitoring.drift", cwd=tmp_path, **{"MODEL_DIR": str(model_dir)} | variables)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "build").exists()


def test_memory_does_not_grow_with_the_number_of_rows(reference: FloatArray, database: str) -> None:
    def read() -> tuple[FloatArray, int]:
        tracemalloc.start()
        try:
            window = read_window(database, "m", NOW - timedelta(days=1), max_images=500)
            return window.sample, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    rows = np.repeat(reference[:500], 2, axis=0)
    store(database, rows, model="m")
    _, few = read()
    for start in range(10_000, 40_000, 1000):
        rows[:, -2] = start
        store(database, rows, model="m", start=start)
    sample, many = read()
    assert many < few + 500_000  # 30,000 more rows would take some 20 MB
    assert len(sample) == 500
    assert len(np.unique(sample[:, -2])) > 25  # of 31: drawn from all of the window


@pytest.mark.parametrize("shift", SHIFTS)
def test_each_kind_of_shift_is_found(
    shift: str, predict: Callable[[Images], FloatArray], reference: FloatArray
) -> None:
    tests = compare(reference, predict(SHIFTS[shift](stream(500))), CLASSES)
    assert tests[0].is_shifted
    assert [test.p_value for test in tests] == sorted(test.p_value for test in tests)


def test_without_a_shift_alarms_are_as_rare_as_promised() -> None:
    # Of 400 runs, 4 false alarms are expected; more than 11 have a probability of 0.1 %.
    rng = np.random.default_rng(0)

    def sample(num_images: int) -> FloatArray:
        probabilities = rng.dirichlet(np.full(10, 0.2), num_images)
        return np.column_stack([probabilities, rng.normal(size=(num_images, 2))]).round(6)

    alarms = [compare(sample(300), sample(500), CLASSES)[0].is_shifted for _ in range(400)]
    assert sum(alarms) <= 11


def test_a_shift_of_the_distance_that_it_can_see_is_seen() -> None:
    rng = np.random.default_rng(0)
    num_seen = 0
    for _ in range(100):
        reference, window = (rng.random((500, 12)).round(6) for _ in range(2))
        distance = visible_distance(500, 500, 13)
        window[:, 0] *= 1 - distance  # Kolmogorov-Smirnov's distance of the two uniform ones
        num_seen += compare(reference, window, CLASSES)[0].is_shifted
    assert num_seen >= 80


def test_a_class_that_neither_predicts_and_rare_ones_do_no_harm() -> None:
    def sample(labels: list[int]) -> FloatArray:
        return np.column_stack([np.eye(10)[labels], np.zeros((len(labels), 2))])

    same = compare(sample([0] * 200), sample([0] * 100), CLASSES)
    assert {test.p_value for test in same} == {1.0}
    rare = compare(sample([0] * 199 + [1]), sample([0] * 99 + [2]), CLASSES)
    assert not rare[0].is_shifted
    shifted = compare(sample([0] * 200), sample([1] * 100), CLASSES)
    assert shifted[0].is_shifted
