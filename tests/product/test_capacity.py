"""`make capacity`: machines and money from what `make bench` measured."""

import json
from pathlib import Path

import pytest

from my_project.errors import UserError
from my_project.measure import capacity
from my_project.measure.capacity import MACHINE, plan


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "serving.json"
    monkeypatch.setattr(capacity, "MEASURED", file)
    return file


def row(rate: float, p99: float, refused: float = 0) -> dict[str, float]:
    return {"rate": rate, "p50": 1.0, "p99": p99, "refused": refused}


def test_only_loads_that_are_answered_in_time_count(measured: Path) -> None:
    rows = {"1": row(1000, 2), "64": row(4000, 20), "256": row(5000, 90), "512": row(6000, 9, 5)}
    measured.write_text(json.dumps({"cores": 4, "workers": 4, "rows": rows}))
    assert capacity.capacity(MACHINE) == pytest.approx(4000 / 4 * MACHINE.num_cores * 0.6)


def test_there_are_two_machines_at_least_and_money_follows() -> None:
    lines = plan(1000.0, MACHINE, [10, 1_000, 100_000]).splitlines()
    machines = [int(line.split("|")[2].replace(",", "")) for line in lines[2:5]]
    assert machines == [2, 2, 100]
    month = float(lines[4].split("|")[3].replace(",", ""))
    assert month == pytest.approx(100 * MACHINE.dollars_per_hour * 730, abs=1)


def test_without_a_load_that_is_answered_in_time_there_is_no_plan(measured: Path) -> None:
    measured.write_text(json.dumps({"cores": 1, "workers": 1, "rows": {"1": row(1, 900)}}))
    with pytest.raises(UserError, match="within 50 ms"):
        capacity.capacity(MACHINE)
