"""Whatever is sent: an answer that blames the sender, and no memory lost."""

import io
import random
import re
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image

from .serving_helpers import (
    digit_images,
    running_server,
    write_model,
)

NUM_REQUESTS = 2000
TYPES = [
    *["image/png"] * 8,
    *["image/jpeg", "application/octet-stream", "image/", "text/plain", ""],
    *["multipart/form-data", "multipart/form-data; boundary=x"],
]


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A small PNG file that says it is a large picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def seeds() -> list[bytes]:
    picture = Image.fromarray(digit_images()[0][0]).resize((40, 30)).convert("RGB")
    turned = Image.Exif()
    turned[0x0112] = 6
    return [
        *(encoded(picture, name) for name in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")),
        *(encoded(picture.convert(mode), "PNG") for mode in ("P", "LA", "RGBA", "1", "I;16")),
        encoded(picture.convert("CMYK"), "JPEG"),
        encoded(picture, "JPEG", exif=turned),
        encoded(picture, "PNG", exif=b"II*\0"),  # notes that break off
        *(
            encoded(picture, name, save_all=True, append_images=[picture.rotate(90)])
            for name in ("PNG", "WEBP")
        ),
        *(
            png_of_size(*size)
            for size in ((100_000, 100_000), (2**31 - 1, 1), (0, 0), (6000, 6000))
        ),
        *(b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"PK\x03\x04", b"", bytes(1000)),
    ]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The data with some bytes changed, with its end cut off, with more behind it, or as it is."""
    change = chance.choice(["bytes", "bytes", "end", "more", "nothing"])
    if change == "bytes" and data:
        copy = bytearray(data)
        for _ in range(chance.randint(1, 20)):
            copy[chance.randrange(len(copy))] = chance.randrange(256)
        return bytes(copy)
    if change == "end":
        return data[: chance.randrange(len(data) + 1)]
    return data + chance.randbytes(100) if change == "more" else data


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("bad-input") / "model"
    write_model(folder)
    with running_server(folder) as client:
        yield client


def test_thousands_of_broken_pictures_get_an_answer_that_is_no_server_error(
    client: httpx.Client,
) -> None:
    chance = random.Random(0)  # noqa: S311
    pictures = seeds()

    def send(number: int) -> None:
        for _ in range(number):
            body = mutated(chance.choice(pictures), chance)
            headers = {"Content-Type": chance.choice(TYPES)}
            answer = client.post("/v1/predict", content=body, headers=headers)
            assert answer.status_code in (200, 400, 415, 422), (answer.text, body[:100])

    send(NUM_REQUESTS // 4)
    before = megabytes(client)
    send(NUM_REQUESTS)
    assert megabytes(client) < before + 50


def megabytes(client: httpx.Client) -> float:
    """Resident memory of the service; 0 on systems that do not tell."""
    text = client.get("/metrics").text
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
    return float(found[1]) / 1e6 if found else 0


def test_small_files_of_large_pictures_take_turns_and_bounded_memory(client: httpx.Client) -> None:
    bombs = [encoded(Image.new(mode, (4000, 4000)), "PNG") for mode in ("RGBA", "1", "P")]
    before = megabytes(client)
    with ThreadPoolExecutor(9) as pool:
        url = f"{client.base_url}/v1/predict"
        answers = [pool.submit(httpx.post, url, content=bomb, timeout=60) for bomb in bombs * 3]
        highest = before
        while not all(answer.done() for answer in answers):
            highest = max(highest, megabytes(client))
    assert {answer.result().status_code for answer in answers} == {200}
    assert highest < before + 350
