"""The service as a client sees it: real HTTP to a real process with a real model."""

import asyncio
import io
import re
import shutil
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from package_name.preprocess import decode_image
from package_name.serving.batching import Batcher, Classified
from package_name.serving.predictor import (
    ModelError,
    Predictor,
)

from .serving_helpers import (
    DIGITS,
    connect,
    digit_images,
    png,
    running_server,
)

PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="session")
def client(model_dir: Path) -> Iterator[httpx.Client]:
    with running_server(model_dir, max_body_bytes=100_000, max_pixels=250_000) as client:
        yield client


def assert_problem(response: httpx.Response, status: int, words: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert words in problem["detail"]
    assert "Traceback" not in response.text


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
    answers = [
        client.post("/v1/predict", content=png(image), headers=PNG).json()["class_index"]
        for image in images[:100]
    ]
    assert np.mean(np.array(answers) == labels[:100]) > 0.95


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
    answer = client.post(
        "/v1/predict", content=file.getvalue(), headers={"Content-Type": "image/jpeg"}
    ).json()

    served = {entry["label"]: entry["probability"] for entry in answer["probabilities"]}
    assert [served[str(digit)] for digit in range(10)] == pytest.approx(expected, abs=1e-6)


def test_every_answer_says_which_model_gave_it(
    client: httpx.Client, model_dir: Path, digit: bytes
) -> None:
    model = client.get("/v1/model").json()
    prediction = client.post("/v1/predict", content=digit, headers=PNG).json()
    assert prediction["model"] == {"name": model["name"], "sha256": model["sha256"]}
    assert model["sha256"] in (model_dir / "metadata.json").read_text()
    assert model["metrics"]["accuracy"] > 0.9
    assert model["image"] == {"channels": 1, "height": 8, "width": 8}


def test_health_checks_answer_when_a_model_is_loaded(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


class SlowPredictor(Predictor):
    """A model that takes a second."""

    def predict(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        time.sleep(1)
        return super().predict(pixels)


def test_no_request_waits_for_its_answer_longer_than_it_may(model_dir: Path, digit: bytes) -> None:
    fast = Predictor.load(model_dir, num_threads=1)
    slow = SlowPredictor(fast.metadata, fast._session)
    broken = png(np.zeros((4000, 4000), np.uint8))[:-100]  # which decoding would find out

    async def ask() -> None:
        batcher = Batcher(slow, max_batch_size=1, max_pixels=16_000_000)

        def classify(picture: bytes, seconds: float) -> Coroutine[None, None, Classified]:
            return batcher.classify(picture, time.perf_counter() + seconds)

        await classify(digit, 60)  # from now on, the model runs on a thread
        patient = asyncio.create_task(classify(digit, 60))
        await asyncio.sleep(0.1)  # until it is with the model
        with pytest.raises(TimeoutError):
            await classify(digit, 0.3)  # waits for the patient one's batch
        assert not patient.done()
        assert (await patient).inference >= 1
        with pytest.raises(TimeoutError):
            await classify(digit, 0.3)  # is with the model
        with pytest.raises(TimeoutError):
            await classify(broken, 0.001)  # is being decoded
        assert batcher.num_waiting == 0
        batcher.stop()

    asyncio.run(ask())


def test_a_service_without_a_model_starts_says_so_and_takes_one_that_comes_later(
    model_dir: Path, tmp_path: Path, digit: bytes
) -> None:
    folder = tmp_path / "later"
    with running_server(folder, model_poll_seconds=0.05) as client:
        assert client.get("/healthz").status_code == 200
        assert_problem(client.get("/readyz"), 503, "metadata.json not found")
        assert_problem(client.get("/v1/model"), 503, "metadata.json not found")
        answer = client.post("/v1/predict", content=digit, headers=PNG)
        assert_problem(answer, 503, "metadata.json not found")
        assert answer.headers["retry-after"]

        shutil.copytree(model_dir, folder)
        deadline = time.monotonic() + 30
        while client.get("/readyz").status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.post("/v1/predict", content=digit, headers=PNG).status_code == 200


def test_a_model_file_that_is_not_the_exported_one_is_not_loaded(
    model_dir: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match="SHA-256"):
        Predictor.load(folder, num_threads=1)


def test_metadata_that_cannot_be_read_is_a_clear_error(model_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_dir, tmp_path / "model")
    (folder / "metadata.json").write_text("{}")
    with pytest.raises(ModelError, match=r"metadata\.json is broken"):
        Predictor.load(folder, num_threads=1)


def test_bytes_that_are_no_picture_are_refused(client: httpx.Client, digit: bytes) -> None:
    no_picture = client.post("/v1/predict", content=b"hello", headers=PNG)
    assert_problem(no_picture, 422, "not a picture")
    cut_off = client.post("/v1/predict", content=digit[:60], headers=PNG)
    assert_problem(cut_off, 422, "broken")
    empty = client.post("/v1/predict", content=b"", headers=PNG)
    assert_problem(empty, 422, "no picture")
    wrong_field = client.post("/v1/predict", files={"picture": ("three.png", digit)})
    assert_problem(wrong_field, 422, "`file`")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    client: httpx.Client,
) -> None:
    bomb = png(np.zeros((4000, 4000), dtype=np.uint8))
    assert len(bomb) < 100_000
    assert_problem(client.post("/v1/predict", content=bomb, headers=PNG), 422, "250,000")


def test_other_content_types_are_refused(client: httpx.Client, digit: bytes) -> None:
    answer = client.post("/v1/predict", content=digit, headers={"Content-Type": "text/plain"})
    assert_problem(answer, 415, "image/png")


def test_a_body_that_announces_too_much_is_refused(client: httpx.Client) -> None:
    answer = client.post("/v1/predict", content=bytes(100_001), headers=PNG)
    assert_problem(answer, 413, "100,000")


def test_a_body_of_unannounced_length_is_cut_off_while_it_streams(client: httpx.Client) -> None:
    chunks = (bytes(10_000) for _ in range(1_000_000))  # 10 GB, if nobody stops it
    try:
        answer = client.post("/v1/predict", content=chunks, headers=PNG)
    except httpx.WriteError:
        return  # refused before the client had read the answer
    assert_problem(answer, 413, "100,000")


def test_unknown_paths_and_methods_are_problems_too(client: httpx.Client) -> None:
    assert_problem(client.get("/v2/predict"), 404, "Not Found")
    assert_problem(client.get("/v1/predict"), 405, "Method Not Allowed")
    assert_problem(client.get("/static/nothing.js"), 404, "Not Found")


def test_answers_without_a_body_and_requests_in_a_row_come_whole_and_in_order(
    client: httpx.Client,
) -> None:
    head, health, style = (
        f"{request} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode()
        for request, more in (
            ("HEAD /static/page.css", ""),
            ("GET /healthz", ""),
            ("GET /static/page.css", "Connection: close\r\n"),
        )
    )
    with connect(client) as server:
        server.sendall(head)
        assert server.recv(65536).endswith(b"\r\n\r\n")  # before there is anything after it
        server.sendall(health + style)
        answer = b"".join(iter(lambda: server.recv(65536), b""))
    first, second = answer.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert first.endswith(b'{"status":"ok"}')
    assert second.endswith(client.get("/static/page.css").content)


def test_the_page_and_all_it_refers_to_come_from_the_service(client: httpx.Client) -> None:
    page = client.get("/").text
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    paths = re.findall(r'(?:href|src)="(.+?)"', page)
    assert {"static/page.css", "static/page.js"} <= set(paths)
    assert all(client.get(f"/{path}").status_code == 200 for path in paths)


def test_the_openapi_document_says_where_a_key_goes(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"
    operations = {path: next(iter(ways.values())) for path, ways in document["paths"].items()}
    open_to_all = {path for path, operation in operations.items() if "security" not in operation}
    assert open_to_all == {"/healthz", "/readyz"}
