"""Files of `benchmarks/` as modules, for tests of what they measure."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PARTS = ("smoke", "suite_verdicts")
FOLDER = Path(__file__).parents[1] / "benchmarks"


def benchmark_module(file: str) -> ModuleType:
    """Import `benchmarks/<file>.py` as module `benchmark_of_<file>`, and the parts that it stands on.

    By their files: with that folder on the path its `behaviour` would hide the one of the tests.
    """
    before = list(sys.path)
    for part in PARTS:
        _load(part, part)
    module = _load(f"benchmark_of_{file}", file)
    sys.path[:] = before
    return module


def _load(name: str, file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{file}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
