"""The pods of MLflow as processes: the chart's own program, a real PostgreSQL, the packages of the image's lock."""

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from s3_server import S3Server

PROGRAM = Path(__file__).resolve().parents[1] / "charts" / "kubetune" / "files" / "tracking.py"
PYTHON = os.environ.get("KUBETUNE_TEST_MLFLOW_PYTHON", "")
"""An interpreter with requirements/images/core.txt and tracking.txt."""
ROOT, OWNER = "root of all", "p@ss/w%rd:é #long"
"""Passwords that a URL must encode, a configuration file escape and SQL quote."""
LINES = ("MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false")
STARTED_S = 180


def postgres_folder() -> Path | None:
    """Where PostgreSQL's programs are; Debian keeps them out of the path."""
    places = [Path(found) for found in [shutil.which("createdb")] if found]
    places += Path("/usr/lib/postgresql").glob("*/bin/createdb")
    return next((place.parent for place in places if place.with_name("initdb").exists()), None)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Postgres:
    """A server with the superuser and database `airflow`, as the chart's; it refuses to be run by root."""

    def __init__(self, folder: Path) -> None:
        self.programs, self.folder, self.port = postgres_folder(), folder, free_port()
        self.user = {"user": "nobody"} if os.getuid() == 0 else {}
        folder.mkdir()
        if self.user:
            shutil.chown(folder, "nobody")
        words = folder.with_suffix(".password")
        words.write_text(ROOT)
        words.chmod(0o644)
        self._run("initdb", "-U", "airflow", "-A", "scram-sha-256", "--pwfile", str(words), "-D", str(folder / "data"))
        self.start()
        command = [str(self.programs / "createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "airflow", "airflow"]
        subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": ROOT}, capture_output=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=120, **self.user)  # type: ignore[call-overload]

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder}"
        data, log = str(self.folder / "data"), str(self.folder / "log")
        self._run("pg_ctl", "-w", "-D", data, "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "-D", str(self.folder / "data"), "stop")


class Tracking:
    """Secrets as files, and the program that the chart's containers run."""

    def __init__(self, folder: Path, postgres: Postgres, store: S3Server) -> None:
        self.folder, self.secrets, self.port = folder, folder / "secrets", free_port()
        self.secrets.mkdir(parents=True)
        where = f"@127.0.0.1:{postgres.port}"
        self.give("root_connection", f"postgresql+psycopg2://airflow:{quote(ROOT, safe='')}{where}/airflow")
        self.give("connection", f"postgresql+psycopg2://tracking:{quote(OWNER, safe='')}{where}/tracking")
        self.give("password", "first-password-of-the-admin")
        self.give("kubetune_tracking_user", "kubetune-mirror")
        self.give("kubetune_tracking_password", "password-of-the-mirror")
        self.give("flask_secret_key", "f" * 64)
        self.give("kubetune_s3_access_key", store.access_key)
        self.give("kubetune_s3_secret_key", store.secret_key)
        self.environment = {
            "PATH": f"{Path(PYTHON).parent}:{os.defpath}", "HOME": str(folder), "TMPDIR": str(folder),
            "TRACKING_SECRETS": str(self.secrets), "TRACKING_LOGIN": str(self.secrets), "TRACKING_ADMIN": "admin",
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "AWS_DEFAULT_REGION": "us-east-1",
            "MLFLOW_S3_ENDPOINT_URL": f"http://{store.address}", "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
            "AWS_EC2_METADATA_DISABLED": "true", **dict(line.split("=") for line in LINES),
        }  # fmt: skip
        self.options = (
            "--host=127.0.0.1", f"--port={self.port}", "--workers=1", "--app-name=basic-auth",
            f"--artifacts-destination=s3://{store.bucket}/tracking",
            "--allowed-hosts=localhost:*,127.0.0.1:*,mlflow.test", "--cors-allowed-origins=https://mlflow.test",
        )  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def give(self, name: str, value: str) -> None:
        (self.secrets / name).write_text(f"{value}\n", encoding="utf-8")

    def command(self, *arguments: str) -> Sequence[str]:
        return [PYTHON, str(PROGRAM), *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    def done(self, *arguments: str) -> None:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr[-2000:]

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run the server until it answers its mirror, then until the block ends."""
        with (self.folder / "server.log").open("w") as log:
            command = self.command("serve", *self.options)
            server = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
            try:
                until = time.monotonic() + STARTED_S
                while self.status("/health")[0] != 200:
                    said = (self.folder / "server.log").read_text()
                    assert server.poll() is None and time.monotonic() < until, said[-3000:]
                    time.sleep(1)
                yield
            finally:
                server.terminate()
                server.wait(60)

    def status(
        self, path: str, user: str = "", password: str = "", data: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Ask; 0 where nobody answers. `_` in a header's name stands for `-`; data is put, or posted as JSON."""
        request = urllib.request.Request(f"{self.url}{path}", data=data)
        request.method = "GET" if data is None else "PUT" if "artifacts" in path else "POST"
        for name, value in {"Content-Type": "application/json", **headers}.items():
            request.add_header(name.replace("_", "-"), value)
        if user:
            request.add_header("Authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""
