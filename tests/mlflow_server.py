"""Runs a command beside a real MLflow server with users and passwords, on a free loopback port.

    python tests/mlflow_server.py path/to/mlflow pytest tests/tracking

The command finds it in KUBETUNE_TEST_MLFLOW=http://user:password@127.0.0.1:port; the exit code is the command's.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

CONFIG = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{folder}/users.db
admin_username = kubetune
admin_password = {password}
auth_cache_ttl_seconds = 60
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""
READY_S = 180.0


def main(mlflow: str, command: list[str]) -> int:
    """Start the server, run the command, end the server."""
    port, password = free_port(), secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="kubetune-mlflow-") as folder:
        config = Path(folder, "auth.ini")
        config.write_text(CONFIG.format(folder=folder, password=password), encoding="utf-8")
        environment = {
            **os.environ,
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            # Without it the server starts a process for each kind of background job, none of which is used here.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        words = [mlflow, "server", "--app-name", "basic-auth", "--host", "127.0.0.1", "--port", str(port)]
        words += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        words += ["--artifacts-destination", f"{folder}/artifacts"]
        with Path(folder, "log").open("wb") as log:
            server = subprocess.Popen(words, env=environment, stdout=log, stderr=log, start_new_session=True)
            try:
                if not wait_for(f"http://127.0.0.1:{port}/health", server):
                    print(Path(folder, "log").read_text("utf-8", "replace")[-4000:], file=sys.stderr)
                    return 1
                url = f"http://kubetune:{password}@127.0.0.1:{port}"
                return subprocess.run(command, env={**os.environ, "KUBETUNE_TEST_MLFLOW": url}, check=False).returncode
            finally:
                os.killpg(server.pid, signal.SIGTERM)
                try:
                    server.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(server.pid, signal.SIGKILL)
                    server.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(url: str, server: subprocess.Popen[bytes]) -> bool:
    """Wait until the server answers; False: it ended, or it does not."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except OSError:
            time.sleep(0.5)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
