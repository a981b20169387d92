"""How many workers there are follows from the cores that a container may use."""

from pathlib import Path

import pytest

from package_name.serving.settings import num_cores


@pytest.mark.parametrize(
    ("quota", "limit"), [("max 100000", 1000), ("150000 100000", 2), ("50000 100000", 1)]
)
def test_a_containers_limit_counts_as_cores(tmp_path: Path, quota: str, limit: int) -> None:
    unlimited = num_cores(tmp_path / "no-such-file")
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert unlimited >= 1
    assert num_cores(tmp_path / "cpu.max") == min(unlimited, limit)
