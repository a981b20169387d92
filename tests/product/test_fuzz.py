"""Whatever is sent: a response that blames the sender, and no memory lost."""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from ..digits import digit_images
from ..serving_helpers import running_server
from .clients import metric

NUM_REQUESTS = 2000
TYPES = [
    *["image/png"] * 8,
    *["image/jpeg", "application/octet-stream", "image/", "text/plain", ""],
    *["multipart/form-data", "multipart/form-data; boundary=x"],
]


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A small PNG file that says it is a large image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100_000))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def seeds() -> list[bytes]:
    image = Image.fromarray(digit_images()[0][0]).resize((40, 30)).convert("RGB")
    turned = Image.Exif()
    turned[0x0112] = 6
    return [
        *(encoded(image, name) for name in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")),
        *(encoded(image.convert(mode), "PNG") for mode in ("P", "LA", "RGBA", "1", "I;16")),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image, "JPEG", exif=turned),
        encoded(image, "PNG", exif=b"II*\0"),  # notes that break off
        *(
            encoded(image, name, save_all=True, append_images=[image.rotate(90)])
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
def client(model_dir: Path) -> Iterator[httpx.Client]:
    with running_server(model_dir) as client:
        yield client


def test_thousands_of_broken_images_get_a_response_that_is_no_server_error(
    client: httpx.Client,
) -> None:
    chance = random.Random(0)  # noqa: S311, no secret
    images = seeds()

    def send(number: int) -> None:
        for _ in range(number):
            body = mutated(chance.choice(images), chance)
            headers = {"Content-Type": chance.choice(TYPES)}
            response = client.post("/v1/predict", content=body, headers=headers)
            assert response.status_code in (200, 400, 415, 422), (response.text, body[:100])

    send(NUM_REQUESTS // 4)
    before = megabytes(client)
    send(NUM_REQUESTS)
    assert megabytes(client) < before + 50


def test_small_files_of_large_images_take_turns_and_bounded_memory(client: httpx.Client) -> None:
    bombs = [encoded(Image.new(mode, (4000, 4000)), "PNG") for mode in ("RGBA", "1", "P")]
    before = megabytes(client)
    with ThreadPoolExecutor(9) as pool:
        url = f"{client.base_url}/v1/predict"
        responses = [pool.submit(httpx.post, url, content=bomb, timeout=60) for bomb in bombs * 3]
        highest = before
        while not all(response.done() for response in responses):
            highest = max(highest, megabytes(client))
    assert {response.result().status_code for response in responses} == {200}
    assert highest < before + 350


def megabytes(client: httpx.Client) -> float:
    """Resident memory of the service; 0 on systems that do not tell."""
    return metric(client, "process_resident_memory_bytes") / 1e6
