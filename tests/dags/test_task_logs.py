"""Task logs in the object store: what Airflow's own writer makes of the chart's settings, against an S3 server."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubetune import layout

ROOT = Path(__file__).parents[2]
FILES = ROOT / "charts" / "kubetune" / "files"
LOG = "dag_id=finetune/run_id=toy-1/task_id=train/attempt=1.log"
SERVER = """
import sys; sys.path.insert(0, sys.argv[1])
from s3_server import S3Server, make_bucket, running_moto
with running_moto() as address:
    make_bucket(S3Server(address, "key", "secret-secret", "kubetune-logs", real=False))
    print(address, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of an S3 server with the bucket; it runs in the pipeline's environment."""
    command = [ROOT / ".venv/bin/python", "-c", SERVER, ROOT / "tests"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()  # type: ignore[union-attr]  # it ends with its input


@pytest.fixture
def remote(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Airflow's writer as the chart sets it up: keys in files, all else in aws.ini."""
    for name, text in {"access_key": "key\n", "secret_key": "secret-secret\n"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    shutil.copy(FILES / "store_keys.py", tmp_path)
    ini = (FILES / "aws.ini").read_text(encoding="utf-8")
    ini = ini.replace("{{ .Values.objectStore.region }}", "us-east-1")
    ini = ini.replace('{{ include "kubetune.storeEndpoint" . }}', f"http://{server}")
    ini = ini.replace("python -I", f"{sys.executable} -I").replace("/etc/kubetune/scripts", str(tmp_path))
    ini = ini.replace("/run/secrets/airflow-logs", str(tmp_path))
    ini = re.sub(r"\{\{- if .*?\{\{- end \}\}", "", ini, flags=re.DOTALL)
    assert "{{" not in ini
    (tmp_path / "aws.ini").write_text(ini, encoding="utf-8")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws.ini"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AIRFLOW__LOGGING__REMOTE_LOGGING", "True")
    monkeypatch.setenv("AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER", f"s3://kubetune-logs/{layout.LOGS}kubetune")
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path / "logs"))
    from airflow.providers.amazon.aws.log.s3_task_handler import S3RemoteLogIO

    return S3RemoteLogIO.from_config()


def wrote(folder: Path, name: str, *events: str) -> None:
    path = folder / "logs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps({"event": event}) + "\n" for event in events)


def test_what_scheduler_and_triggerer_wrote_is_read_by_whoever_has_the_key(remote, tmp_path: Path) -> None:
    """A task that waits is written by three processes; each piece is once there, in the order in which they ended."""
    wrote(tmp_path, LOG, "the pod was made")
    remote.upload(LOG)
    wrote(tmp_path, f"{LOG}.trigger.7.log", "[base] step 1")
    remote.upload(f"{LOG}.trigger.7.log")
    wrote(tmp_path, LOG, "[base] logs: step 2")
    remote.upload(LOG)
    shutil.rmtree(tmp_path / "logs")  # the pods are gone
    sources, texts = remote.read(LOG, None)
    assert [source.partition("finetune/")[2] for source in sources] == [
        LOG.removeprefix("dag_id=finetune/"),
        f"{LOG}.trigger.7.log".removeprefix("dag_id=finetune/"),
    ]
    events = [json.loads(line)["event"] for text in texts for line in text.splitlines()]
    assert events == ["the pod was made", "[base] logs: step 2", "[base] step 1"]


def test_a_log_that_is_not_there_is_none(remote) -> None:
    assert remote.read("dag_id=finetune/run_id=none/task_id=train/attempt=1.log", None) == ([], None)


def test_a_store_that_is_away_costs_no_task_its_log(remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (tmp_path / "aws.ini").read_text(encoding="utf-8")
    (tmp_path / "aws.ini").write_text(re.sub(r"endpoint_url = .*", "endpoint_url = http://127.0.0.1:9", text))
    wrote(tmp_path, LOG, "one line")
    remote.upload(LOG)  # raises nothing
    assert "one line" in (tmp_path / "logs" / LOG).read_text(encoding="utf-8")


def test_every_writer_of_task_logs_that_airflow_may_choose_from_can_be_imported() -> None:
    """Airflow imports them all to find the one for `s3`; the lock leaves out what they do not need, and no more."""
    from airflow._shared.module_loading import import_string
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert manager.remote_logging_handler_by_scheme("s3") is not None
    for handler in manager.remote_logging_handlers:
        import_string(handler.classpath)
