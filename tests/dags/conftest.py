"""Airflow with a SQLite file of its own, the DAGs of this repository, and settings of a made-up cluster."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_toys import path_first, write_cluster

ROOT = Path(__file__).parents[2]
HOME = Path(tempfile.mkdtemp(prefix="kubetune-airflow-"))
# Airflow reads these when it is imported, which the test modules do.
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
}
for name in ("KUBECONFIG", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD"):
    os.environ.pop(name, None)


def pytest_sessionfinish() -> None:
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def dagbag():
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(ROOT / "dags"))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file of a cluster, where the DAGs' tasks look for it."""
    return write_cluster(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def toys_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A tiny model and toy rows, made by the pipeline's own environment: torch is not in Airflow's."""
    folder = tmp_path_factory.mktemp("toys")
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import toys\n"
        "folder = Path(sys.argv[2]); toys.write_toy_model(folder / 'model')\n"
        "toys.write_jsonl(folder / 'rows.jsonl', toys.toy_rows(240))\n"
    )
    python = ROOT / ".venv" / "bin" / "python"
    subprocess.run([python, "-c", program, ROOT / "tests", folder], check=True, cwd=folder)
    yield {"data": str(folder / "rows.jsonl"), "model": str(folder / "model")}


@pytest.fixture(scope="session")
def metadata_database() -> None:
    """Airflow's tables."""
    subprocess.run(["airflow", "db", "migrate"], check=True, capture_output=True, env={**os.environ, **path_first()})
