"""The HTTP interface against its own OpenAPI document, by requests that a machine makes up."""

import re
from pathlib import Path

import httpx
import pytest

from .bakes import Bake, run
from .deployment import VENV
from .servers import serve

pytestmark = pytest.mark.slow


def test_schemathesis_finds_no_server_error_and_no_undocumented_answer(
    demo: Bake, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'predictions.db'}"
    with serve(demo, demo.path / ".venv", DATABASE_URL=database) as client:
        checks = "not_a_server_error,status_code_conformance,content_type_conformance"
        output = run(
            *(VENV / "schemathesis", "run", f"{client.base_url}/openapi.json"),
            *("--checks", checks, "--max-examples", "60", "--seed", "0"),
            cwd=tmp_path,
        ).stdout
        assert re.search(r"generated, [1-9]\d\d+ passed", output), output
        assert client.get("/readyz").status_code == httpx.codes.OK
