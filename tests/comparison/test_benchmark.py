"""The benchmark of promotions runs, and without repeats texts and rows decide alike."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "promotion.py"


@pytest.mark.slow
def test_a_few_simulations_of_each_kind_run() -> None:
    found = subprocess.run([sys.executable, PROGRAM, "--smoke"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "every bound holds" in found.stdout
    assert "by text and by row disagree" not in found.stdout
    for metric in ("accuracy", "macro_f1"):
        for repeats in ("once", "five times", "geometric", "Zipf", "five times, rare classes"):
            assert sum(line.startswith(metric) and repeats in line for line in found.stdout.splitlines()) >= 1
