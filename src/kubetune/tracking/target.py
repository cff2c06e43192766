"""Which MLflow: the settings as an address, a lock, and a client whose errors are sentences."""

import fcntl
import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from kubetune.config.environment import environment
from kubetune.config.settings import Settings, tracking_environment
from kubetune.errors import ConfigError, KubetuneError, TemporaryError, TrackingAwayError

DATABASE, ARTIFACTS, LOCK = "mlflow.db", "mlflow-artifacts", "mlflow.lock"
LOCK_WAIT_S = 60.0
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
ALLOWED = "allowed are none, local and http(s)://host[:port]"


@dataclass(frozen=True)
class MlflowTarget:
    """An MLflow.

    Attributes:
        uri: Address of the tracking store, and of the registry.
        shown: The same for people.
        lock: File that one process on this machine holds while it mirrors.
        artifacts: Folder for artifacts; None: the server knows.
    """

    uri: str
    shown: str
    lock: Path
    artifacts: Path | None = None

    @property
    def exists(self) -> bool:
        """Whether there is anything to ask: a local database is made by the first mirror."""
        return self.artifacts is None or self.artifacts.with_name(DATABASE).exists()


def tracking_target(settings: Settings) -> MlflowTarget | None:
    """Return the MLflow that the settings name; None where they say `none`. Imports nothing of it.

    Raises:
        ConfigError: The setting cannot be used.
    """
    folder = store_folder(settings.store)
    kind = settings.tracking or ("none" if folder is None else "local")
    if kind == "none":
        return None
    if kind == "local":
        if folder is None:
            raise ConfigError(
                f"KUBETUNE_TRACKING=local needs a store in a folder, and the store is {settings.store}: name an MLflow "
                "server, http(s)://host[:port], or none."
            )
        if set("?#%") & set(str(folder)):
            raise ConfigError(f"{folder} cannot hold MLflow's database: use a folder without ?, # and % in its name.")
        database = folder / DATABASE
        return MlflowTarget(f"sqlite:///{database}", str(database), folder / LOCK, folder / ARTIFACTS)
    return remote_target(kind, settings)


def remote_target(url: str, settings: Settings) -> MlflowTarget:
    """Return the target for a server.

    Raises:
        ConfigError: The address cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"KUBETUNE_TRACKING is {url!r:.100}: {ALLOWED}.")
    if "@" in parts.netloc:
        raise ConfigError(
            "KUBETUNE_TRACKING holds a user or password: set KUBETUNE_TRACKING_USER and KUBETUNE_TRACKING_PASSWORD."
        )
    if settings.offline and parts.hostname not in LOOPBACK:
        raise ConfigError(f"KUBETUNE_OFFLINE refuses {url}: name a server on this machine, or none.")
    if bool(settings.tracking_user) != bool(settings.tracking_password):
        raise ConfigError("KUBETUNE_TRACKING_USER and KUBETUNE_TRACKING_PASSWORD belong together: set both or none.")
    if settings.ca_bundle is not None and not settings.ca_bundle.is_file():
        raise ConfigError(f"KUBETUNE_CA_BUNDLE names {settings.ca_bundle}, which is no file: name a PEM file.")
    name = hashlib.sha256(f"{url} {settings.store}".encode()).hexdigest()[:16]
    lock = Path(tempfile.gettempdir()) / f"kubetune-tracking-{os.getuid()}-{name}.lock"
    return MlflowTarget(url.rstrip("/"), url.rstrip("/"), lock)


def store_folder(url: str) -> Path | None:
    """Return the folder of a store; None for a store on a server."""
    if "://" not in url:
        return Path(url).expanduser().absolute()
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def is_installed() -> bool:
    """Whether this environment has MLflow's client; does not import it."""
    return find_spec("mlflow") is not None


@contextmanager
def client_of(target: MlflowTarget, settings: Settings) -> Iterator[Callable[[], Any]]:
    """Give a block what opens MLflow's client; nothing of MLflow is imported before it is called.

    Raises:
        ConfigError: It is not installed.
    """
    if not is_installed():
        raise ConfigError(
            "MLflow's client is not installed: `pip install 'kubetune[tracking]'`, or set KUBETUNE_TRACKING=none."
        )

    def opened() -> Any:
        import mlflow

        for name in ("mlflow", "alembic"):  # they tell of each migration on standard error
            logging.getLogger(name).setLevel(logging.ERROR)
        with tracking_errors(target):
            if target.artifacts is not None and not target.exists:
                make_database(target.artifacts.with_name(DATABASE))
            return mlflow.MlflowClient(target.uri, target.uri)

    with environment(tracking_environment(settings)):
        yield opened


def make_database(path: Path) -> None:
    """Make MLflow's local database whole, then put it in its place.

    MLflow makes tables wherever it finds none: a reader that came upon a half-made one would make them as well.
    """
    import mlflow

    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    client = mlflow.MlflowClient(f"sqlite:///{new}", f"sqlite:///{new}")
    client.search_experiments(max_results=1)
    client.search_registered_models(max_results=1)
    new.replace(path)


@contextmanager
def tracking_errors(target: MlflowTarget) -> Iterator[None]:
    """Turn the errors of MLflow's client into sentences.

    Raises:
        TrackingAwayError: It does not answer.
        ConfigError: It refuses the user.
        KubetuneError: It refuses what it was asked.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise explained_response(target, int(error.get_http_status_code()), str(error)) from error  # type: ignore[no-untyped-call]
    except OSError as error:  # what comes of an upload of a file: errors of `requests` are of this kind too
        status = getattr(getattr(error, "response", None), "status_code", None)
        raise explained_response(target, int(status or 503), f"{type(error).__name__}: {error}") from error


def explained_response(target: MlflowTarget, status: int, reason: str) -> KubetuneError:
    """Return the error for an answer, or for none."""
    short = " ".join(re.sub(r"//[^/@\s]+@", "//", reason).split())[:300]
    if status in {401, 403}:
        return ConfigError(
            f"MLflow at {target.shown} refuses the user ({status}): set KUBETUNE_TRACKING_USER and "
            "KUBETUNE_TRACKING_PASSWORD to one that may write the experiment and its models."
        )
    if status >= 500 or status in {408, 429}:
        return TrackingAwayError(
            f"MLflow at {target.shown} does not answer ({short}): nothing is lost, the store holds what it misses; "
            "`kubetune tracking sync` sends it later."
        )
    return KubetuneError(f"MLflow at {target.shown} refused a request with {status} ({short}).")


@contextmanager
def locked(target: MlflowTarget, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Let one process on this machine mirror at a time; the lock dies with its process.

    Raises:
        TemporaryError: Another one kept it.
    """
    target.lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(target.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        end = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TemporaryError(
                        f"Another process mirrors into {target.shown} for more than {wait_s:.0f} s: run this again."
                    ) from None
                time.sleep(0.1)
        yield
    finally:
        os.close(handle)
