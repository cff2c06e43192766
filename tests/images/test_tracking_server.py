"""MLflow's server from the image's lock, started by the chart's own program on a real PostgreSQL and a real S3 server.

`make test-mlflow` runs it: it needs PostgreSQL's programs, `KUBETUNE_TEST_MLFLOW_PYTHON` (an interpreter with
`requirements/images/core.txt` and `tracking.txt`) and `KUBETUNE_TEST_S3`. What the lock leaves out of MLflow's
requirements is not missed by a server that passes here.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from minio import Minio

from mlflow_pods import PYTHON, Postgres, Tracking, postgres_folder
from s3_server import S3Server, make_bucket

pytestmark = pytest.mark.s3
if not (PYTHON and "KUBETUNE_TEST_S3" in os.environ and postgres_folder()):
    reason = "needs KUBETUNE_TEST_MLFLOW_PYTHON, KUBETUNE_TEST_S3 and PostgreSQL's programs"
    pytest.skip(reason, allow_module_level=True)

MIRROR = ("kubetune-mirror", "password-of-the-mirror")
FIRST = "first-password-of-the-admin"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=5"


@pytest.fixture(scope="module")
def store() -> S3Server:
    parts = urlsplit(os.environ["KUBETUNE_TEST_S3"])
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    bucket = parts.path.strip("/")
    return make_bucket(S3Server(f"{parts.hostname}:{parts.port}", user, password, bucket, real=True))


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        Path(folder).chmod(0o755)
        made = Postgres(Path(folder) / "postgres")
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="module")
def tracking(postgres: Postgres, store: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracking]:
    """Database, tables and users made, and the server up."""
    made = Tracking(tmp_path_factory.mktemp("tracking"), postgres, store)
    made.done("database", "30")
    made.done("database", "30")  # a second time changes nothing
    made.done("prepare", "30")
    with made.serving():
        yield made


def test_its_role_owns_its_database_and_enters_no_other(tracking: Tracking) -> None:
    sql = "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = 'tracking'"
    program = "import psycopg2, sys; url = sys.argv[1].replace('+psycopg2', '')\n"
    ask = f"{program}c = psycopg2.connect(url).cursor(); c.execute({sql!r}); print(c.fetchone()[0])"
    url = (tracking.secrets / "connection").read_text().strip()
    done = subprocess.run([PYTHON, "-c", ask, url], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    other = subprocess.run(
        [PYTHON, "-c", ask, f"{url.removesuffix('tracking')}airflow"], capture_output=True, text=True, check=False
    )
    assert "permission denied for database" in other.stderr


def test_the_mirror_may_and_a_stranger_may_not(tracking: Tracking) -> None:
    tracking.done("ask", tracking.url)
    assert tracking.status(SEARCH, *MIRROR)[0] == 200
    assert tracking.status(SEARCH, "admin", FIRST)[0] == 200
    assert tracking.status(SEARCH)[0] == 401
    assert tracking.status(SEARCH, MIRROR[0], "wrong-password-here")[0] == 401
    assert tracking.status(SEARCH, "admin", "password1234")[0] == 401
    assert tracking.status("/", *MIRROR)[0] == 200, "the UI"


def test_unknown_hosts_and_pages_are_refused(tracking: Tracking) -> None:
    assert tracking.status(SEARCH, *MIRROR, Host="mlflow.test")[0] == 200
    assert tracking.status(SEARCH, *MIRROR, Host="elsewhere.test")[0] == 403
    body = json.dumps({"max_results": 1}).encode()
    path = "/ajax-api/2.0/mlflow/experiments/search"
    assert tracking.status(path, *MIRROR, data=body, Origin="https://mlflow.test")[0] == 200
    assert tracking.status(path, *MIRROR, data=body, Origin="https://elsewhere.test")[0] == 403


def test_runs_models_and_artifacts_go_through_it(tracking: Tracking, store: S3Server) -> None:
    """By MLflow's own client without what the lock leaves out, as the mirror does it."""
    program = tracking.folder / "client.py"
    program.write_text(
        "import sys, pathlib\n"
        "from mlflow import MlflowClient\n"
        "client = MlflowClient(sys.argv[1])\n"
        "experiment = client.create_experiment('tests')\n"
        "run = client.create_run(experiment)\n"
        "client.log_metric(run.info.run_id, 'macro_f1', 0.75, step=1)\n"
        "file = pathlib.Path(sys.argv[2]); file.write_text('a report')\n"
        "client.log_artifact(run.info.run_id, str(file))\n"
        "client.create_registered_model('tweets')\n"
        "version = client.create_model_version('tweets', 'kubetune:/archive/' + 'a' * 64, run.info.run_id)\n"
        "client.set_registered_model_alias('tweets', 'champion', version.version)\n"
        "assert client.get_model_version_by_alias('tweets', 'champion').version == version.version\n"
        "assert [item.path for item in client.list_artifacts(run.info.run_id)] == [file.name]\n"
        "client.update_run(run.info.run_id, status='FINISHED')\n"
        "print(experiment, run.info.run_id)\n"
    )
    login = dict(zip(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"), MIRROR, strict=True))
    done = subprocess.run(
        [PYTHON, str(program), tracking.url, str(tracking.folder / "report.txt")],
        env={**tracking.environment, **login}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    experiment, run = done.stdout.split()
    client = Minio(store.address, store.access_key, store.secret_key, secure=False, region="us-east-1")
    key = f"tracking/{experiment}/{run}/artifacts/report.txt"
    assert client.get_object(store.bucket, key).read() == b"a report"


def test_without_its_database_it_is_alive_and_not_ready(tracking: Tracking, postgres: Postgres) -> None:
    postgres.stop()
    try:
        assert tracking.status("/health")[0] == 200
        done = tracking.run("ask", tracking.url)
        assert (done.returncode, "does not answer the mirror's user" in done.stderr) == (1, True)
    finally:
        postgres.start()
    tracking.done("ask", tracking.url)


def test_a_changed_secret_counts_after_the_next_start(tracking: Tracking) -> None:
    """`prepare` runs at each start and changes nothing but what the Secrets say."""
    tracking.give("password", "second-password-of-the-admin")
    tracking.done("prepare", "30")
    assert tracking.status(SEARCH, "admin", FIRST)[0] == 401
    assert tracking.status(SEARCH, "admin", "second-password-of-the-admin")[0] == 200
    assert tracking.status("/api/2.0/mlflow/registered-models/get?name=tweets", *MIRROR)[0] == 200
    tracking.give("password", "short")
    refused = tracking.run("prepare", "30")
    assert "give it 12 or more" in refused.stderr and refused.returncode == 1


def test_no_secret_is_in_a_command_or_for_others_to_read(tracking: Tracking) -> None:
    config = tracking.folder / "auth.ini"
    assert config.stat().st_mode & 0o077 == 0
    assert "password-of-the" not in config.read_text()
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.parent.exists()]
    assert not [line for line in commands if b"w%25rd" in line or b"password-of-the" in line]
