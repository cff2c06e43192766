"""Shared fixtures: no stray settings, and a toy model and toy rows made once."""

import importlib.util
import os
from pathlib import Path

# Two OpenMP threads that lose a core to another test's process spin for each other; toy models need one.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest

import toys

collect_ignore = [] if importlib.util.find_spec("airflow") else ["dags"]
"""The DAGs are tested by `make test-dags`, in the environment that has Airflow."""


@pytest.fixture(autouse=True)
def no_stray_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A developer's own settings must not reach a test."""
    for name in list(os.environ):
        if name.startswith("KUBETUNE_") and not name.startswith("KUBETUNE_TEST_"):
            monkeypatch.delenv(name)
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBETUNE_TRACKING", "none")  # else each `kubetune run` of a test leaves a process behind
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "no-settings"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 2-layer encoder with its tokenizer, in the layout of `save_pretrained`."""
    return toys.write_toy_model(tmp_path_factory.mktemp("toy-model"))


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 toy rows as one JSON lines file."""
    return toys.write_jsonl(tmp_path_factory.mktemp("toy-data") / "rows.jsonl", toys.toy_rows(240))


ALLOWED_SKIPS = (
    "moto does not check Content-MD5",
    "names no real S3 server",
    "needs KUBETUNE_TEST_S3",
    "a 1 MiB file system needs the right to mount",
    "root may read everything",
    "this machine has the GPU",
    "needs KUBETUNE_TEST_MLFLOW",
)
"""Reasons for which a test may be left out on some machine; each has a twin that covers the rest."""


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where a test was skipped for another reason: what silently stops running protects nobody."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter is not None else []
    reasons = [(report.nodeid, str(report.longrepr[-1])) for report in skipped]
    unknown = [found for found in reasons if not any(allowed in found[1] for allowed in ALLOWED_SKIPS)]
    if unknown and os.environ.get("CI"):
        reporter.write_line(f"skipped for a reason that tests/conftest.py does not list: {unknown}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
