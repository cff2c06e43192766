"""Platform settings of a cluster: images, accounts, secrets, nodes. The chart writes them, Airflow reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kubetune.config.policy import Policies
from kubetune.errors import ConfigError
from kubetune.schema.yaml_text import MOST_CLUSTER_CHARACTERS, read_yaml


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ClusterImages(_Closed):
    """How image names are made: `{registry/}{repository}/{name}:{tag}`."""

    registry: str = ""
    """Host and port of a registry; empty: the container runtime's default."""
    repository: str = "kubetune"
    """Path before the image's own name."""
    tag: str
    """One tag for all images of a release."""
    digests: Mapping[str, str] = Field(default_factory=dict)
    """`sha256:…` by image name; beats the tag."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    """Names of Secrets with registry credentials."""

    def reference(self, name: str) -> str:
        """Return the reference of one image."""
        base = "/".join(part for part in (self.registry, self.repository, name) if part)
        digest = self.digests.get(name)
        return f"{base}@{digest}" if digest else f"{base}:{self.tag}"


class StageDefaults(_Closed):
    """What a stage gets where its recipe does not say; all values are Kubernetes quantities."""

    cpu: str = "2"
    """Limit; the stage starts as many threads as whole CPUs in it."""
    cpu_request: str | None = None
    """What the scheduler sets aside; None: equal to the limit."""
    memory: str = "4Gi"
    """Request and limit."""
    scratch: str = "10Gi"
    """Local disk for inputs and outputs."""
    timeout_minutes: int = Field(default=120, ge=1)
    """The kubelet ends the pod after this time, also while Airflow is away."""


class ClusterStore(_Closed):
    """Where artifacts lie."""

    url: str
    """`s3://bucket/prefix`."""
    endpoint: str
    """`http(s)://host:port` of the S3 server."""
    region: str = "us-east-1"


class Gpu(_Closed):
    """How GPUs are asked for."""

    resource: str = "nvidia.com/gpu"
    """Extended resource that the device plugin offers."""
    tolerations: tuple[Mapping[str, Any], ...] = ()
    node_selector: Mapping[str, str] = Field(default_factory=dict)
    runtime_class: str | None = None
    shared_memory: str = "2Gi"
    """Size of `/dev/shm` of a stage with several ranks; counts against its memory."""


class Scheduling(_Closed):
    """Where stage pods may run."""

    node_selector: Mapping[str, str] = Field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    priority_class: str | None = None


class ServingPlace(_Closed):
    """Where `deploy` finds endpoints."""

    namespace: str
    release: str
    """Prefix of the Deployments: `<release>-serve-<endpoint>`."""
    ready_timeout_s: float = Field(default=600.0, gt=0)


class ClusterSettings(_Closed):
    """All that a stage's pod needs besides its call. Holds names of Secrets, never a secret."""

    release: str
    """Label `app.kubernetes.io/instance` of all pods."""
    namespace: str
    """Where stage pods run."""
    images: ClusterImages
    store: ClusterStore
    serving: ServingPlace
    accounts: Mapping[str, str]
    """Service account by stage name; `default` for the others."""
    secrets: Mapping[str, tuple[str, ...]]
    """Names of Secrets by stage (also `housekeeping`) whose keys are mounted as settings files."""
    environment: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    """Further variables by stage, for example proxies of `ingest` and `fetch`; `default` for all stages."""
    ca_config_map: str | None = None
    """ConfigMap whose key `ca.crt` is the private certificate authority."""
    signing_secret: str | None = None
    """Secret whose key `signing.key` is the private key that stage `register` signs with; None: nothing is signed."""
    trusted_secret: str | None = None
    """Secret of public keys: what one of them signed, stage `register` may sign anew; in a namespace that lacks it, its
    own key alone counts."""
    stages: Mapping[str, StageDefaults] = Field(default_factory=dict)
    """Resources by stage; `default` for the others."""
    gpu: Gpu = Gpu()
    scheduling: Scheduling = Scheduling()
    policies: Policies = Policies()
    """What may become the champion of each endpoint, and by whom."""
    machine_users: tuple[str, ...] = ()
    """Airflow's users that are programs (schedules): no answer of theirs is a person's."""
    approval_timeout_minutes: int = Field(default=1440, ge=1)
    """How long a run waits for a person's approval; then it ends as if the answer were no."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """Further pod labels."""
    annotations: Mapping[str, str] = Field(default_factory=dict)
    """Further pod annotations."""

    def defaults_of(self, stage: str) -> StageDefaults:
        """Return the resources of a stage."""
        return self.stages.get(stage) or self.stages.get("default") or StageDefaults()


def load_cluster(path: Path) -> ClusterSettings:
    """Read the settings that the chart wrote.

    Raises:
        ConfigError: The file cannot be read or does not fit; all errors are listed.
    """
    try:
        return ClusterSettings.model_validate(read_yaml(path.read_text(encoding="utf-8"), MOST_CLUSTER_CHARACTERS))
    except OSError as error:
        raise ConfigError(
            f"Cluster settings {path} cannot be read ({error.strerror}): mount the chart's ConfigMap, or set "
            "KUBETUNE_CLUSTER_FILE."
        ) from error
    except ValueError as error:
        details = error.errors() if isinstance(error, ValidationError) else []
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in details]
        raise ConfigError(
            f"Cluster settings {path} are not usable: {' | '.join(lines) or 'no YAML'}; the chart's values make them."
        ) from error
