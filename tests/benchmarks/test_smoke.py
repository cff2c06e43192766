"""Each benchmark still runs: its `--smoke` form takes the real way with tiny sizes and misses no figure."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FILES = sorted(BENCHMARKS.glob("*.py"))


def is_run(path: Path) -> bool:
    """Whether a file is a program and not a part of one."""
    return "__main__" in path.read_text(encoding="utf-8")


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    files = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return names | {name.removesuffix(".py") for name in files}


MINUTES = {"resume", "serving", "training", "trainings", "waiting"}
"""Whose smoke form takes minutes of two cores: run by `pytest -m "slow and full"`."""


def run_smoke(program: str, folder: Path, *arguments: str) -> str:
    """Run the `--smoke` form of a benchmark; return what it printed."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{program}.py"), *arguments, "--smoke"],
        cwd=folder, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-3000:])
    assert done.stdout.splitlines()[-1] == "smoke: complete"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=[pytest.mark.full] if path.stem in MINUTES else [])
        for path in FILES
        if is_run(path)
    ],
)
def test_a_benchmark_runs(name: str, tmp_path: Path) -> None:
    run_smoke(name, tmp_path)


@pytest.mark.slow
def test_trainings_of_entities_and_of_answers_are_killed_and_end_with_the_same_bits(tmp_path: Path) -> None:
    tasks = ("token-classification", "question-answering")
    printed = run_smoke("resume", tmp_path, "--task", *tasks)
    assert printed.count("1/1 final weights equal the undisturbed SHA-256") == 2 * len(tasks)


def test_every_file_is_a_benchmark_or_a_part_of_one() -> None:
    programs = [path for path in FILES if is_run(path)]
    assert len(programs) >= 10
    parts = set().union(*map(imported, programs), imported(BENCHMARKS / "serving_setups.py"))
    assert {path.stem for path in FILES if not is_run(path)} <= parts
