"""Stage `ingest`: what it writes, that it writes the same twice, and that it leaves nothing behind."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

import toys
from kubetune.config.load import parse_recipe
from kubetune.config.recipe import view
from kubetune.errors import DataError, InterruptedRunError
from kubetune.stages import BY_NAME, ingest

RECIPE = "name: t\ndata: {source: {kind: files, paths: %s}}\nmodel: {source: {kind: path, path: m}}\n"


class Watched:
    """Progress and telemetry that remember."""

    def __init__(self) -> None:
        self.rows = 0
        self.events: list[str] = []

    def start(self, what: str, total: int | None = None) -> None: ...

    def advance(self, by: int = 1, **facts: float | str) -> None:
        self.rows += by

    def note(self, line: str) -> None: ...

    def record(self, event: str, **values: Any) -> None:
        self.events.append(event)


def run(folder: Path, paths: dict[str, str], stop: bool = False):
    out, scratch = folder / "raw", folder / "scratch"
    out.mkdir(parents=True)
    scratch.mkdir()
    watched = Watched()
    config = view(parse_recipe(RECIPE % json.dumps(paths)), BY_NAME["ingest"].sections)
    context: Any = SimpleNamespace(
        progress=watched, telemetry=watched, scratch=scratch, platform={}, should_stop=lambda: stop
    )
    return ingest.run(config, {}, {"raw": out}, context), out, watched


@pytest.fixture
def splits(tmp_path: Path) -> dict[str, str]:
    return {
        name: str(toys.write_jsonl(tmp_path / f"{name}.jsonl", toys.toy_rows(count, seed)))
        for seed, (name, count) in enumerate({"train": 40, "test": 20}.items())
    }


def test_raw_holds_a_file_a_split_and_where_it_came_from(tmp_path: Path, splits: dict[str, str]) -> None:
    result, out, watched = run(tmp_path / "one", splits)
    assert {path.name for path in out.iterdir()} == {"train.parquet", "test.parquet", "source.json"}
    assert pq.read_table(out / "train.parquet").to_pylist() == toys.toy_rows(40, 0)
    described = json.loads((out / "source.json").read_text())
    assert described["splits"] == {"train": 40, "test": 20}
    assert [fact["name"] for fact in described["files"]] == ["train.jsonl", "test.jsonl"]
    assert described["kind"] == "files"
    assert result.verdict.passed
    assert result.metrics == {"rows": 60.0}
    assert result.facts["identity"] == described["identity"]
    assert watched.rows == 60
    assert "ingested" in watched.events
    assert str(tmp_path) not in (out / "source.json").read_text()


def test_two_executions_give_the_same_bytes(tmp_path: Path, splits: dict[str, str]) -> None:
    _, first, _ = run(tmp_path / "one", splits)
    _, second, _ = run(tmp_path / "two", splits)
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_a_source_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(DataError, match="no rows") as caught:
        run(tmp_path / "one", {"all": str(tmp_path / "a.csv")})
    assert caught.value.exit_code == 65


def test_a_split_without_rows_is_refused(tmp_path: Path, splits: dict[str, str]) -> None:
    (tmp_path / "test.csv").write_text("text,label\n")
    with pytest.raises(DataError, match=r"split test .* no rows"):
        run(tmp_path / "one", {**splits, "test": str(tmp_path / "test.csv")})


def test_it_stops_when_asked(tmp_path: Path, splits: dict[str, str]) -> None:
    with pytest.raises(InterruptedRunError, match="run the same command again"):
        run(tmp_path / "one", splits, stop=True)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """After 10,000 rows, 50,000 more raise the peak by far less than they weigh; in a process of its own."""
    for rows in (10_000, 50_000):
        with (tmp_path / f"{rows}.csv").open("w") as stream:
            stream.write("text,label\n")
            stream.writelines(f"{'word ' * 100}{number},{number % 3}\n" for number in range(rows))
    program = (
        "import sys\n"
        "sys.path[:0] = ['tests', 'tests/stages']\n"
        "from pathlib import Path\n"
        "import resource, test_ingest\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "for rows in (10_000, 50_000):\n"
        "    test_ingest.run(folder / str(rows), {'all': str(folder / f'{rows}.csv')})\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    small, large = map(int, done.stdout.split())
    assert (tmp_path / "50000.csv").stat().st_size > 25_000_000
    assert large - small < 20_000_000, (small, large)
