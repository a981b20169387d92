"""Machines and money for a number of requests a second, from what `make bench` measured.

A machine is planned with the highest rate at which 99 of 100 requests were answered within 50 ms,
and with 60 % of that: the rest is for peaks, and for the share of a machine that fails. There are
always two, so that one may fail.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..files import read_json, write_text
from ..stages._main import run_main

MEASURED = Path("build/bench/serving.json")
OUTPUT = Path("build/bench/capacity.md")
RATES = (10, 1_000, 100_000)
MAX_P99_MS = 50
UTILISATION = 0.6
MIN_MACHINES = 2
HOURS_PER_MONTH = 730


@dataclass(frozen=True)
class Machine:
    """A machine by the hour, at its list price."""

    name: str
    num_cores: int
    dollars_per_hour: float
    source: str


MACHINE = Machine(
    "m7g.large",
    num_cores=2,
    dollars_per_hour=0.0816,
    source="on demand in us-east-1, 2026-06-17, https://aws.amazon.com/ec2/pricing/on-demand/",
)


def main() -> None:
    """Print the table, and write it to build/bench/capacity.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rates", type=int, nargs="*", default=RATES, help="requests per second")
    rates: list[int] = parser.parse_args().rates
    if not MEASURED.exists():
        raise UserError(f"{MEASURED} not found: measure the service first, with `make bench`")
    text = plan(capacity(MACHINE), MACHINE, rates)
    write_text(OUTPUT, text)
    print(text, end="")


def capacity(machine: Machine) -> float:
    """Requests per second that a machine is planned with."""
    measured = read_json(MEASURED)
    rates = [
        row["rate"]
        for row in measured["rows"].values()
        if row["p99"] <= MAX_P99_MS and not row["refused"]
    ]
    if not rates:
        raise UserError(f"{MEASURED}: no load was answered within {MAX_P99_MS} ms")
    return float(max(rates) / measured["cores"] * machine.num_cores * UTILISATION)


def plan(per_machine: float, machine: Machine, rates: list[int]) -> str:
    """The table, as Markdown."""
    lines = [
        "| requests/s | machines | dollars a month | dollars for a million requests |",
        "|---:|---:|---:|---:|",
    ]
    for rate in rates:
        number = max(MIN_MACHINES, math.ceil(rate / per_machine))
        month = number * machine.dollars_per_hour * HOURS_PER_MONTH
        million = month / (rate * 3600 * HOURS_PER_MONTH) * 1e6
        lines.append(f"| {rate:,} | {number:,} | {month:,.0f} | {million:,.2f} |")
    return "\n".join(
        [
            *lines,
            "",
            f"{per_machine:,.0f} requests/s for each {machine.name} ({machine.num_cores} cores, "
            f"{machine.dollars_per_hour} dollars an hour: {machine.source}), from {MEASURED}; "
            "without traffic, load balancer and storage.\n",
        ]
    )


if __name__ == "__main__":
    run_main(main)
