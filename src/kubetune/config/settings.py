"""Deployment settings: where things are, never what is computed. Only this and `environment.py` read variables."""

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from kubetune.config.user_file import NAME, find_project, read_block, read_project
from kubetune.errors import ConfigError

SECRETS_FOLDER = Path("/run/secrets/kubetune")
IN_POD = "package,upload,s3,http,https,hub,sql"
"""What recipes may read in a pod, whose files and neighbours are not those of the person who wrote them."""


class Settings(BaseSettings):
    """Read from `KUBETUNE_<NAME>`, from mounted files `kubetune_<name>`, and the user's own file."""

    model_config = SettingsConfigDict(env_prefix="KUBETUNE_", extra="ignore", use_attribute_docstrings=True)

    store: str = "kubetune-store"
    """A folder, `file:///folder` or `s3://bucket/prefix`."""
    s3_endpoint: str | None = None
    """`https://host:port` of the S3 server; required by `s3://` URLs."""
    s3_access_key: SecretStr | None = None
    s3_secret_key: SecretStr | None = None
    s3_session_token: SecretStr | None = None
    s3_region: str = "us-east-1"
    store_deadline_s: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds of back-off after which a store that does not answer ends the stage with 75."""
    store_answer_s: float = Field(default=8.0, gt=0, le=3600)
    """Seconds within which a store must answer the first request of a command that a person waits for; a stage, and
    whatever runs in a pod, waits as long as `store_deadline_s` says."""
    checkpoint_hours: float = Field(default=1.0, ge=0, le=87_600)
    """Hours after which `gc` removes the checkpoints of a training whose result is stored: nothing resumes it."""
    backup_s3_endpoint: str | None = None
    """`https://host:port` of the S3 server of backups, its keys below; None: the store's own server and keys."""
    backup_s3_access_key: SecretStr | None = None
    backup_s3_secret_key: SecretStr | None = None
    backup_s3_region: str = "us-east-1"
    hub_endpoint: str | None = None
    """Address of a Hugging Face hub; None: `HF_ENDPOINT`, else the public one."""
    hub_token: SecretStr | None = None
    """Token for gated repositories; None: `HF_TOKEN`."""
    offline: bool = False
    """Refuse every outside address instead of trying it."""
    ca_bundle: Path | None = None
    """PEM file of a private certificate authority, for hub, store and https sources."""
    https_proxy: str | None = None
    """Proxy for outside addresses; None: `HTTPS_PROXY`. Never used for loopback."""
    no_proxy: str | None = None
    """Hosts that are reached without the proxy; None: `NO_PROXY`."""
    sql_url: SecretStr | None = None
    """SQLAlchemy URL for the `sql` source."""
    allowed_sources: str | None = None
    """What recipes may read, with commas: `path`, `package`, `upload`, `s3`, `http`, `https`, `hub`, `sql`, `loopback`
    (addresses of this machine and its link), or `all`; None: all, in a pod all but `path` and `loopback`."""
    redirect_hosts: str = ""
    """Hosts, with commas, to which an `https://` source may redirect besides its own; `*`: any."""
    source_max_bytes: int = Field(default=64 << 30, ge=1, le=1 << 50)
    """Largest download of a source, and the most that is unpacked from one."""
    source_max_ratio: float = Field(default=250.0, gt=1, le=1e9)
    """Unpacked bytes a byte of a file beyond which it is refused as a bomb; real text has 3 to 30."""
    source_timeout_s: float = Field(default=7200.0, gt=0, le=2_592_000)
    """Seconds that one download may take."""
    state_dir: Path | None = None
    """Where servers on this machine keep archives, logs and records; None: below the user's state folder."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Port for a served endpoint; None: the first free one from 8080 on."""
    serve_hosts: str = ""
    """Host names, commas between, under which servers of this machine answer besides `localhost` and loopback
    addresses; a request under any other name gets 421."""
    ready_timeout_s: float = Field(default=180.0, gt=0, le=86_400)
    """Seconds that `deploy` waits for an endpoint, and the gateway for its TorchServe."""
    serving: Literal["local", "cluster"] = "local"
    """Where endpoints live: a TorchServe on this machine, or the Deployments that the chart installed."""
    serving_namespace: str = "kubetune"
    """Namespace of those Deployments."""
    serving_release: str = "kubetune"
    """Full name of the Helm release: an endpoint is the Deployment `<release>-serve-<endpoint>`."""
    archive: str = ""
    """Archive that this serving pod is for (SHA-256 of `archive.json`); empty: nothing was deployed yet."""
    trusted_keys: Path | None = None
    """File or folder of public keys (PEM, Ed25519). Set: an archive is served only with a statement that one of them
    signed."""
    policies: str | None = None
    """JSON: endpoint (`*` for all others) → what may become its champion, and by whom, beside what the store holds."""
    revocation_epoch: int = Field(default=0, ge=0, le=1_000_000)
    """Least epoch of the list of revoked versions that is believed, as `kubetune revoke` prints it."""
    signing_key: Path | None = None
    """Private key (PEM, Ed25519) that signs the statement of a registered archive; None: nothing is signed."""
    api_keys_file: Path | None = None
    """Lines `name:sha256` of the keys that open an endpoint; None: no key is asked for."""
    gateway_max_in_flight: int = Field(default=100, ge=1, le=10_000)
    """Requests that an endpoint answers at once; the next one gets 503. TorchServe queues at most 100."""
    gateway_rate: float = Field(default=0.0, ge=0, le=1e6)
    """Requests a second of one API key; the next one gets 429. 0: no limit."""
    gateway_key_share: float = Field(default=0.5, gt=0, le=1)
    """Share of `gateway_max_in_flight` that one API key may hold where several are valid; the next request gets 429."""
    gateway_connections: int = Field(default=1024, ge=1, le=65536)
    """Connections that an endpoint holds at once; beyond it, the one that has been idle for longest is ended."""
    gateway_connections_per_source: int = Field(default=512, ge=1, le=65536)
    """The same from one address (an IPv6 /64 counts as one); all clients behind one proxy share it."""
    gateway_form: bool = True
    """Whether the page of an endpoint has a form to try a text with."""
    gateway_drain_s: float = Field(default=5.0, ge=0, le=3600)
    """Seconds for which an ending pod still takes requests, so that the cluster can notice."""
    gateway_shutdown_s: float = Field(default=50.0, ge=1, le=86400)
    """Seconds after which an ending pod is gone, whatever clients do; less than Kubernetes grants it."""
    image_digest: str = ""
    """Digest of the container image this runs in, for the records."""
    termination_log: Path = Path("/dev/termination-log")
    """Where a pod's one-sentence reason goes, if that file exists."""
    attempt: str = ""
    """Identity of this execution (pod uid and try); None: drawn."""
    log_url: str = ""
    """Address at which people read the logs of the run that this process belongs to; Airflow sets it."""
    tracking: str | None = None
    """MLflow that mirrors runs and models: `none`, `local` (a database inside the store's folder) or
    `http(s)://host[:port]`; None: `local` where the store is a folder."""
    tracking_user: str | None = None
    tracking_password: SecretStr | None = None
    tracking_experiment: str = Field(default="kubetune", min_length=1, max_length=250)
    """Experiment that holds the runs. Stores that share a server need one each only to keep them apart for the eye."""
    mlflow: Path | None = None
    """Program of an MLflow with a page, in an environment of its own, for `kubetune ui`; None: this environment's."""
    airflow_url: str | None = None
    """`http(s)://host[:port]` of a cluster's Airflow api-server."""
    airflow_user: str | None = None
    airflow_password: SecretStr | None = None
    endpoint_url: str | None = None
    """Where a cluster's endpoints answer, `http(s)://host[:port]/path`; `{endpoint}` in it stands for the name."""
    api_key: SecretStr | None = None
    """Key that opens those endpoints; None: they ask for none."""
    cluster_file: Path = Path("/etc/kubetune/cluster.yaml")
    """Platform settings that the chart writes; read by Airflow's tasks."""
    recipes_dir: Path = Path("/etc/kubetune/recipes")
    """Folder of recipes that the chart mounts; read by Airflow's tasks."""
    gpu_pool: str = "default_pool"
    """Airflow's pool for stages that may use GPUs; it must exist and count deferred tasks."""
    notices: SecretStr | None = None
    """Apprise addresses (`slack://…`, `mailto://…`, `json://…`; blanks between them) that `kubetune run` tells."""
    notices_slack: str | None = None
    """Airflow connection id of a Slack webhook that is notified of runs; None: nobody is."""
    notices_smtp: str | None = None
    """Airflow connection id of a mail server for the same."""
    notices_to: str | None = None
    """Mail address (several with commas) that `notices_smtp` writes to."""
    notices_apprise: str | None = None
    """Airflow connection id of an Apprise configuration for the same."""


def load_settings(beside: Path | None = None) -> Settings:
    """Read the settings: variables and mounted files first, then `kubetune.toml`, then the user's own file.

    Args:
        beside: Folder of the recipe at hand, whose `kubetune.toml` comes before that of the working directory.

    Raises:
        ConfigError: A value is not allowed; names the variable, never a secret's value.
    """
    secrets = SECRETS_FOLDER if SECRETS_FOLDER.is_dir() else None
    try:
        settings = Settings(_secrets_dir=secrets)
        project = project_file(beside)
        block = read_block(user_file(), Settings.model_fields) | ({} if project is None else read_project(project))
        own = {name: value for name, value in block.items() if name not in settings.model_fields_set}
        if own:
            settings = Settings(_secrets_dir=secrets, **own)
    except ValidationError as error:
        lines = [f"KUBETUNE_{'.'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors()]
        raise ConfigError("Settings are not usable: " + " | ".join(lines)) from None
    return settings.model_copy(
        update={
            "allowed_sources": settings.allowed_sources
            or (IN_POD if "KUBERNETES_SERVICE_HOST" in os.environ else None),
            "hub_endpoint": settings.hub_endpoint or os.environ.get("HF_ENDPOINT"),
            "hub_token": settings.hub_token or _secret("HF_TOKEN"),
            "offline": settings.offline or os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"},
            "https_proxy": settings.https_proxy or os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"),
            "no_proxy": settings.no_proxy or os.environ.get("NO_PROXY") or os.environ.get("no_proxy"),
        }
    )


def project_file(beside: Path | None = None) -> Path | None:
    """Return the `kubetune.toml` that counts: that of the recipe's folder, else of the working directory."""
    for folder in (beside, Path()):
        if folder is not None and (found := find_project(folder)) is not None:
            return found
    return None


def store_places() -> str:
    """Say where a store is looked for, in this order."""
    return f"--store, KUBETUNE_STORE, {NAME} in {Path().absolute()} and above it, {user_file()}, ./kubetune-store"


def user_file() -> Path:
    """Return the user's own file of settings, which need not exist."""
    base = (
        os.environ.get("XDG_CONFIG_HOME") or f"{os.environ.get('HOME', '/nonexistent')}/.config"
    )  # a pod's user: none
    return Path(base) / "kubetune" / "settings.yaml"


def state_folder(settings: Settings) -> Path:
    """Return the folder for local servers: one a store, so that two stores do not fight for an endpoint's name."""
    if settings.state_dir is not None:
        return settings.state_dir.absolute()
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    where = settings.store if "://" in settings.store else str(Path(settings.store).resolve())
    return base / "kubetune" / hashlib.sha256(where.encode()).hexdigest()[:12]


def stage_environment(settings: Settings, *, outside: bool) -> dict[str, Any]:
    """Return what libraries must find in the environment before they are imported.

    Outside `ingest` and `fetch` the hub clients are switched off, so that nothing can reach out by accident.
    """
    values = {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "MPLBACKEND": "Agg",
    }
    if not outside or settings.offline:
        return {**values, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if settings.hub_endpoint:
        values["HF_ENDPOINT"] = settings.hub_endpoint
    if settings.https_proxy:
        values |= {"HTTPS_PROXY": settings.https_proxy, "HTTP_PROXY": settings.https_proxy}
    if settings.no_proxy:
        values["NO_PROXY"] = settings.no_proxy
    if settings.ca_bundle:
        values |= {"SSL_CERT_FILE": str(settings.ca_bundle), "REQUESTS_CA_BUNDLE": str(settings.ca_bundle)}
    return values


def tracking_environment(settings: Settings) -> dict[str, str]:
    """Return what MLflow's client must find in the environment before it is imported.

    Its own defaults would call home, and hang on a dead server for minutes.
    """
    values = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    if settings.tracking_user and settings.tracking_password:
        values["MLFLOW_TRACKING_USERNAME"] = settings.tracking_user
        values["MLFLOW_TRACKING_PASSWORD"] = settings.tracking_password.get_secret_value()
    if settings.ca_bundle:
        values["MLFLOW_TRACKING_SERVER_CERT_PATH"] = str(settings.ca_bundle)
    if settings.https_proxy:
        values |= {"HTTPS_PROXY": settings.https_proxy, "HTTP_PROXY": settings.https_proxy}
    no_proxy = ",".join(filter(None, (settings.no_proxy, "localhost,127.0.0.1")))
    return {**values, "NO_PROXY": no_proxy, "no_proxy": no_proxy}


def _secret(name: str) -> SecretStr | None:
    value = os.environ.get(name)
    return SecretStr(value) if value else None
