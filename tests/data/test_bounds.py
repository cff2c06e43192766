"""What a recipe may read and how much: bombs, drips, other hosts and a pod's own files are refused, real data not."""

import gzip
import io
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import toys
from data.reading import files_of, read, source_of
from data.test_sources_remote import web
from kubetune.config.settings import Settings, load_settings
from kubetune.data import models
from kubetune.data.bounds import WORDS, SourceBounds, is_local
from kubetune.data.sources import identify
from kubetune.errors import ConfigError, DataError, KubetuneError, TemporaryError
from kubetune.execution.platform import outside
from loopback import QuietHandler, serving

CSV = b"text,label\na,b\n"
ROWS = {"all": [{"text": "a", "label": "b"}]}
POD = frozenset({"package", "upload", "s3", "http", "https", "hub", "sql"})
PEAK = """
import resource, sys
from pathlib import Path
from data.reading import files_of
from kubetune.data.bounds import SourceBounds
from kubetune.data.sources import load_source
from kubetune.errors import DataError
platform = {"bounds": SourceBounds(most_ratio=float(sys.argv[2]))}
before, rows, largest, said = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0, 0, ""
try:
    source = files_of(sys.argv[1])
    for _, batch in load_source("files").read(source, "utf-8", platform, Path(sys.argv[3])).batches:
        rows, largest = rows + batch.num_rows, max(largest, batch.nbytes)
except DataError as error:
    said = error.rule
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(rows, largest >> 20, peak >> 10, said)
"""


def repeated_text(path: Path, rows: int, size: int) -> Path:
    """One text in every row, kept once: 1 kB for any number of rows."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * size]))
    pq.write_table(pa.table({"text": text, "label": ["a", "b"] * (rows // 2)}), path, compression="zstd")
    return path


def measured(path: Path, ratio: float, folder: Path) -> tuple[int, int, int, str]:
    """Rows read, MiB of the largest batch, MiB that reading took on top, and the rule that refused."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), str(ratio), str(folder)],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows, largest, peak, *said = done.stdout.split()
    return int(rows), int(largest), int(peak), "".join(said)


def test_a_parquet_bomb_is_refused_in_little_memory(tmp_path: Path) -> None:
    path = repeated_text(tmp_path / "bomb.parquet", 4000, 1_400_000)
    assert path.stat().st_size < 50_000
    _, _, peak, said = measured(path, 250, tmp_path)
    assert said == "expansion"
    assert peak < 400  # it took 5,700


def test_batches_are_bounded_by_bytes_where_such_data_is_allowed(tmp_path: Path) -> None:
    path = repeated_text(tmp_path / "wide.parquet", 300, 1_400_000)
    rows, largest, peak, said = measured(path, 1e9, tmp_path)
    assert (rows, said) == (300, "")
    assert largest <= 17
    assert peak < 400


def test_rows_are_the_same_however_batches_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table(
        {
            "text": pa.array([f"text {n % 7} " * (n % 11) if n % 5 else None for n in range(997)]),
            "kind": pa.array([None if n % 3 else "ab"[n % 2] for n in range(997)]).dictionary_encode(),
            "empty": pa.array([None] * 997, pa.string()),
            "number": list(range(997)),
            "list": [[n, n + 1] for n in range(997)],
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=300)
    whole, _ = read(files_of(tmp_path / "rows.parquet"), tmp_path)
    assert whole["all"] == table.to_pylist()
    monkeypatch.setattr("kubetune.data.sources.parquet.BATCH_BYTES", 100)
    assert read(files_of(tmp_path / "rows.parquet"), tmp_path)[0] == whole


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bombs of some hundred KiB instead of some hundred."""
    monkeypatch.setattr("kubetune.data.bounds.SMALL", 1 << 18)


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.tsv.gz", "rows.jsonl.gz", "rows.parquet.gz", "numbers.parquet"])
def test_what_unpacks_to_far_more_is_refused(name: str, tmp_path: Path, small: None) -> None:
    path = tmp_path / name
    line = {"csv": b"a,b\n", "tsv": b"a\tb\n", "jsonl": b'{"a": "b"}\n'}.get(name.split(".")[1], b"")
    if name == "numbers.parquet":  # runs of one number: some bytes for any length
        pq.write_table(pa.table({"n": pa.array([7] * 1_000_000)}), path)
    elif "parquet" in name:
        raw = io.BytesIO()
        pq.write_table(pa.table({"text": ["x" * 3_000_000] * 2}), raw, compression="none", use_dictionary=False)
        path.write_bytes(gzip.compress(raw.getvalue()))
    else:
        path.write_bytes(gzip.compress(line.replace(b"b", b"c") + line * (400_000 // len(line))))
    with pytest.raises(DataError, match="KUBETUNE_SOURCE_MAX_RATIO") as caught:
        read(files_of(path), tmp_path)
    assert caught.value.rule == "expansion"
    if name != "numbers.parquet":
        assert read(files_of(path), tmp_path, bounds=SourceBounds(most_ratio=1e6))[0]


def test_real_text_is_far_from_the_bound(tmp_path: Path, small: None) -> None:
    draw = random.Random(0)
    rows = [{"text": " ".join(draw.choices(toys.NEUTRAL, k=20)), "label": n % 2} for n in range(4000)]
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", compression="zstd")
    for path in ("rows.jsonl.gz", "rows.parquet"):
        assert len(read(files_of(tmp_path / path), tmp_path)[0]["all"]) == 4000


def test_what_is_unpacked_has_a_largest_size(tmp_path: Path) -> None:
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(CSV * 100))
    with pytest.raises(DataError, match="KUBETUNE_SOURCE_MAX_BYTES"):
        read(files_of(tmp_path / "rows.csv.gz"), tmp_path, bounds=SourceBounds(most_bytes=1000))


class Endless(QuietHandler):
    """A body without end and without a stated length."""

    pause = 0.0

    def answer(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"a,b\n" * (1 if self.pause else 10_000))
                time.sleep(self.pause)
        except OSError:
            self.close_connection = True


class Dripping(Endless):
    pause = 0.02


def test_a_download_has_a_largest_size_and_a_longest_time(tmp_path: Path) -> None:
    with serving(Endless) as host, pytest.raises(DataError, match="KUBETUNE_SOURCE_MAX_BYTES"):
        read(files_of(f"{host}/rows.csv"), tmp_path, bounds=SourceBounds(most_bytes=200_000))
    # Each byte comes long before the time-out between two of them.
    with serving(Dripping) as host, pytest.raises(TemporaryError, match="KUBETUNE_SOURCE_TIMEOUT_S"):
        read(files_of(f"{host}/rows.csv"), tmp_path, bounds=SourceBounds(most_seconds=0.2))


@pytest.mark.parametrize(
    "name", ["x%00.csv", "x%0A.csv", "x%1b.csv", "x%7F.csv", f"{'x' * 300}.csv", f"{'%C3%A9' * 140}.csv"]
)
def test_a_name_that_no_file_has_is_bad_data(name: str, tmp_path: Path) -> None:
    with web({}) as host, pytest.raises(DataError, match="file-name") as caught:
        read(files_of(f"http://{host}/{name}"), tmp_path)
    assert caught.value.exit_code == 65


@pytest.mark.parametrize("path", ["x\0.csv", "/tmp/\0/*.csv", "x" * 5000, "a/" * 3000, f"/{'x' * 300}.csv"])
def test_a_path_that_no_file_system_takes_does_not_exist(path: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing-file"):
        read(files_of(path), tmp_path)
    with pytest.raises(ConfigError, match="is no folder"):
        models.identify(model_of(kind="path", path=path), {})
    with pytest.raises(KubetuneError):
        read(source_of(kind="sql", query="select 1", url=f"sqlite:///{path}"), tmp_path)


def model_of(**values: Any) -> Any:
    from pydantic import TypeAdapter

    from kubetune.config.model_sources import ModelSource

    return TypeAdapter(ModelSource).validate_python(values)


@pytest.fixture
def neighbours() -> Iterator[tuple[str, str]]:
    """Two hosts; the first redirects to whatever `/to/…` says."""

    class Redirects(QuietHandler):
        def answer(self) -> None:
            if self.path.startswith("/to/"):
                return self.send(302, b"", Location=self.path.removeprefix("/to/"))
            return self.send(200, CSV)

    with serving(Redirects) as first, web({"/rows.csv": (200, CSV, {})}) as second:
        yield first.replace("127.0.0.1", "localhost"), f"http://{second}"


def test_redirects_stay_at_the_host_unless_a_setting_names_others(tmp_path: Path, neighbours: tuple[str, str]) -> None:
    first, second = neighbours
    assert read(files_of(f"{first}/to/{first}/rows.csv"), tmp_path)[0] == ROWS
    away = files_of(f"{first}/to/{second}/rows.csv")
    with pytest.raises(ConfigError, match=r"redirects to another host, '127\.0\.0\.1'.*KUBETUNE_REDIRECT_HOSTS"):
        read(away, tmp_path)
    for hosts in ({"127.0.0.1"}, {"*"}):
        assert read(away, tmp_path, redirect_hosts=frozenset(hosts))[0] == ROWS
    with pytest.raises(ConfigError, match="redirects more than 5 times"):
        read(files_of(f"{first}{f'/to/{first}' * 7}/rows.csv"), tmp_path)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (files_of("/etc/passwd", format="csv"), "path"),
        (files_of("rows.csv"), "path"),
        (files_of("/etc/*.conf", format="csv"), "path"),
        (files_of("../rows.csv"), "path"),
        (source_of(kind="files", paths={"train": ["s3://b/a.csv", "/etc/passwd"]}, format="csv"), "path"),
        (source_of(kind="sql", query="select 1", url="sqlite:////var/lib/rows.db"), "path"),
        (source_of(kind="sql", query="select 1", url="sqlite://"), "path"),
        (source_of(kind="sql", query="select * from read_csv('/etc/passwd')", url="duckdb:///:memory:"), "path"),
        (source_of(kind="sql", query="select 1", url="postgresql:///db?host=/run/postgresql"), "path"),
        (source_of(kind="sql", query="select 1", url="postgresql://db/x?hostaddr=127.0.0.1"), "path"),
        (source_of(kind="sql", query="select 1", url="postgresql://127.0.0.1/db"), "loopback"),
        (source_of(kind="sql", query="select 1", url="postgresql://localhost/db"), "loopback"),
        (files_of("http://127.0.0.1:1/rows.csv"), "loopback"),
        (files_of("http://localhost:1/rows.csv"), "loopback"),
        (files_of("http://2130706433/rows.csv"), "loopback"),
        (files_of("http://0.0.0.0:1/rows.csv"), "loopback"),
        (files_of("http://[::1]:1/rows.csv"), "loopback"),
        (files_of("http://[::ffff:127.0.0.1]:1/rows.csv"), "loopback"),
        (files_of("http://169.254.169.254/latest/rows.csv"), "loopback"),
        (files_of("https://[fe80::1]/rows.csv"), "loopback"),
    ],
)  # fmt: skip
def test_a_pod_reads_neither_its_own_files_nor_its_own_machine(source: Any, word: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"add `{word}` to KUBETUNE_ALLOWED_SOURCES") as caught:
        identify(source, {"allowed_sources": POD})
        read(source, tmp_path, allowed_sources=POD)
    assert caught.value.exit_code == 78


def test_a_redirect_or_a_name_that_means_this_machine_is_noticed(
    tmp_path: Path, neighbours: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = neighbours
    monkeypatch.setattr("kubetune.data.sources.web.check_host", lambda *_: None)  # a name that has moved since
    for address in (f"{second}/rows.csv", f"{first}/to/{second}/rows.csv"):
        with pytest.raises(ConfigError, match="add `loopback`"):
            read(files_of(address), tmp_path, allowed_sources=POD, redirect_hosts=frozenset({"*"}))
    assert read(files_of(f"{second}/rows.csv"), tmp_path, allowed_sources=POD | {"loopback"})[0] == ROWS


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ({"kind": "path", "path": "/var/run/secrets"}, "path"),
        ({"kind": "package", "distribution": "pandas", "path": "pandas"}, "package"),
        ({"kind": "s3", "url": "s3://bucket/model"}, "s3"),
        ({"kind": "hub", "name": "a/b"}, "hub"),
        ({"kind": "scratch", "tokenizer": {"kind": "path", "path": "/etc"}}, "path"),
    ],
)
def test_models_are_bound_like_data(source: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=f"add `{word}` to KUBETUNE_ALLOWED_SOURCES"):
        models.identify(model_of(**source), {"allowed_sources": frozenset(WORDS) - {word}})


def test_a_pod_is_closed_and_a_laptop_open_unless_settings_say_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert outside(load_settings())["allowed_sources"] is None
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert outside(load_settings())["allowed_sources"] == POD
    monkeypatch.setenv("KUBETUNE_ALLOWED_SOURCES", "hub, upload")
    monkeypatch.setenv("KUBETUNE_REDIRECT_HOSTS", "cdn.example.com, Files.example.com")
    monkeypatch.setenv("KUBETUNE_SOURCE_MAX_BYTES", "1000")
    found = outside(load_settings())
    assert found["allowed_sources"] == {"hub", "upload"}
    assert found["redirect_hosts"] == {"cdn.example.com", "files.example.com"}
    assert found["bounds"] == SourceBounds(most_bytes=1000)
    monkeypatch.setenv("KUBETUNE_ALLOWED_SOURCES", "all")
    assert outside(load_settings())["allowed_sources"] is None
    with pytest.raises(ConfigError, match="names 'everything': allowed are all, path"):
        outside(Settings(allowed_sources="hub,everything"))


def test_what_is_this_machine() -> None:
    from ipaddress import ip_address

    for text in (
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "fe80::1",
        "0.0.0.0",
        "224.0.0.1",
    ):
        assert is_local(ip_address(text)), text
    for text in ("10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd00::1"):
        assert not is_local(ip_address(text)), text
