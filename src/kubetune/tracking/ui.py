"""MLflow's own page over the local mirror: its server, of which the extra `tracking` has the client alone."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from kubetune.config.environment import child_environment
from kubetune.config.settings import Settings, tracking_environment
from kubetune.errors import ConfigError, NotReadyError
from kubetune.tracking.target import DATABASE, MlflowTarget

PAGE = Path("server/js/build/index.html")
"""Where the whole of MLflow holds its page, below its package."""
POLL_S = 0.2


def server_program(settings: Settings) -> list[str]:
    """Return the words that call an MLflow with a page: the one of the settings, else this environment's own.

    Raises:
        ConfigError: There is none; says how to get one.
    """
    if settings.mlflow is not None:
        if not settings.mlflow.is_file():
            raise ConfigError(f"KUBETUNE_MLFLOW names {settings.mlflow}, which is no file: name MLflow's program.")
        return [str(settings.mlflow)]
    found = find_spec("mlflow")
    if found is not None and found.origin is not None and (Path(found.origin).parent / PAGE).is_file():
        return [sys.executable, "-m", "mlflow"]
    raise ConfigError(
        "There is no MLflow with a page here: the extra `tracking` holds its client, which mirrors and shows nothing. "
        "Make an environment of its own, since the whole of MLflow wants an older pyarrow than training has: "
        "`python -m venv mlflow && mlflow/bin/pip install 'kubetune[ui]'`; then `mlflow/bin/kubetune ui`, or set "
        "KUBETUNE_MLFLOW=mlflow/bin/mlflow."
    )


@contextmanager
def served(target: MlflowTarget, settings: Settings, port: int, should_stop: Callable[[], bool]) -> Iterator[str]:
    """Run MLflow's server over a local mirror on loopback for the length of a block, and give the block its address.

    Raises:
        ConfigError: No MLflow with a page is installed, or nothing has been mirrored yet.
        NotReadyError: It ended, or did not answer in time.
    """
    if target.artifacts is None or not target.exists:
        raise ConfigError(f"Nothing is mirrored in {target.shown} yet: `kubetune tracking sync` does it.")
    words = [*server_program(settings), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{target.artifacts.with_name(DATABASE)}"]
    words += ["--artifacts-destination", str(target.artifacts)]
    environment = child_environment({**tracking_environment(settings), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(url, server, settings.ready_timeout_s, should_stop)
            yield url
        finally:
            server.terminate()


def wait_for(url: str, server: "subprocess.Popen[bytes]", timeout_s: float, should_stop: Callable[[], bool]) -> None:
    """Return once the server answers.

    Raises:
        NotReadyError: It ended, was asked to stop, or did not answer in time.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and server.poll() is None and not should_stop():
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):  # noqa: S310 - our own loopback address
                return
        except OSError:
            time.sleep(POLL_S)
    raise NotReadyError(f"MLflow's server did not answer at {url}: its output stands above; is the port free?")
