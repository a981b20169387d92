"""The service as a client sees it: real HTTP to a real process with a real model."""

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from package_name.preprocess import decode_image
from package_name.serving.predictor import ModelError, Predictor

from .digits import digit_images
from .serving_helpers import DIGITS, PNG, eventually, png, running_server


@pytest.fixture(scope="session")
def client(model_dir: Path) -> Iterator[httpx.Client]:
    with running_server(model_dir) as client:
        yield client


def test_a_digit_sent_as_the_body_gets_its_label(client: httpx.Client, digit: bytes) -> None:
    response = client.post("/v1/predict", content=digit, headers=PNG)
    assert response.status_code == 200, response.text
    prediction = response.json()
    assert prediction["label"] == "3"
    assert prediction["class_index"] == 3
    assert prediction["latency_ms"]["total"] > 0


def test_a_digit_sent_in_a_form_gets_the_same_probabilities(
    client: httpx.Client, digit: bytes
) -> None:
    as_body = client.post("/v1/predict", content=digit, headers=PNG).json()
    as_form = client.post("/v1/predict", files={"file": ("three.png", digit)}).json()
    assert as_form["probabilities"] == as_body["probabilities"]
    assert as_form["id"] != as_body["id"]


def test_probabilities_are_sorted_name_every_class_and_add_up_to_one(
    client: httpx.Client, digit: bytes
) -> None:
    ranking = client.post("/v1/predict", content=digit, headers=PNG).json()["probabilities"]
    values = [entry["probability"] for entry in ranking]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1, abs=1e-5)
    assert {entry["label"] for entry in ranking} == {str(digit) for digit in range(10)}


def test_most_digits_are_recognised_over_http(client: httpx.Client) -> None:
    images, labels = digit_images()
    predicted = [
        client.post("/v1/predict", content=png(image), headers=PNG).json()["class_index"]
        for image in images[:100]
    ]
    assert np.mean(np.array(predicted) == labels[:100]) > 0.95


def test_the_server_sees_the_pixels_that_prepare_sees(
    client: httpx.Client, model_dir: Path
) -> None:
    photo = Image.fromarray(digit_images()[0][5]).resize((120, 90)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    file = io.BytesIO()
    photo.save(file, "JPEG", exif=exif)

    pixels = decode_image(file.getvalue(), DIGITS)
    expected = Predictor.load(model_dir, num_threads=1).predict(pixels[None])[0]
    headers = {"Content-Type": "image/jpeg"}
    prediction = client.post("/v1/predict", content=file.getvalue(), headers=headers).json()

    served = {entry["label"]: entry["probability"] for entry in prediction["probabilities"]}
    assert [served[str(digit)] for digit in range(10)] == pytest.approx(expected, abs=1e-6)


def test_every_prediction_says_which_model_made_it(
    client: httpx.Client, model_dir: Path, digit: bytes
) -> None:
    model = client.get("/v1/model").json()
    prediction = client.post("/v1/predict", content=digit, headers=PNG).json()
    assert prediction["model"] == {"name": model["name"], "sha256": model["sha256"]}
    assert model["sha256"] in (model_dir / "metadata.json").read_text()
    assert model["metrics"]["accuracy"] > 0.9
    assert model["image"] == {"channels": 1, "height": 8, "width": 8}


def test_health_checks_pass_when_a_model_is_loaded(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_a_service_without_a_model_starts_says_so_and_takes_one_that_comes_later(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    folder = tmp_path / "later"
    with running_server(folder, model_poll_seconds=0.05) as client:
        assert client.get("/healthz").status_code == 200
        for response in (
            client.get("/readyz"),
            client.get("/v1/model"),
            client.post("/v1/predict", content=digit, headers=PNG),
        ):
            assert response.status_code == 503
            assert "metadata.json not found" in response.json()["detail"]
            assert response.headers["retry-after"]

        shutil.copytree(model_dir, folder)
        assert eventually(lambda: client.get("/readyz").status_code == 200)
        assert client.post("/v1/predict", content=digit, headers=PNG).status_code == 200


def test_a_model_file_that_is_not_the_exported_one_is_not_loaded(
    model_dir: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match="SHA-256"):
        Predictor.load(folder, num_threads=1)


def test_the_page_and_all_it_refers_to_come_from_the_service(client: httpx.Client) -> None:
    response = client.get("/")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "http" not in response.text.replace("http://www.w3.org/2000/svg", "")
    paths = re.findall(r'(?:href|src)="(.+?)"', response.text)
    assert {"static/page.css", "static/page.js"} <= set(paths)
    assert all(client.get(f"/{path}").status_code == 200 for path in paths)
