"""Where everything lies in a store. No other module spells a key."""

import hashlib
import re
from pathlib import Path

from kubetune.errors import ConfigError
from kubetune.redaction import quoted

RUN_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?")
RUN_RULE = "1 to 53 lower-case letters, digits and inner hyphens, so that it fits object keys, pod names and labels"

RUNS = "runs/"
KEYS = "keys/"
BLOBS = "blobs/sha256/"
CHECKPOINTS = "checkpoints/"
ENDPOINTS = "endpoints/"
MODELS = "models/"
COMPARISONS = "comparisons/"
STATEMENTS = "statements/"
REVOCATIONS = f"{STATEMENTS}revocations.json"
"""The signed list of versions whose signatures ended, of all models of the store."""
LOGS = "airflow/"
"""Task logs, in a bucket of their own."""
POLICIES = "policies.json"
"""What an operator lets become the champion of each endpoint; no stage's user may write it."""
UPLOADS = "uploads/"
TRACKING = "tracking/"
"""What a release's MLflow keeps in the same bucket; nothing else reads or writes there, and `gc` leaves it alone."""
PLACES = (RUNS, KEYS, BLOBS, CHECKPOINTS, ENDPOINTS, MODELS, COMPARISONS, STATEMENTS, POLICIES, UPLOADS)
"""What a folder that is a store holds one of at least."""
PROBE = "probe/conditional-writes"
"""Written once by the first process that opens a bucket, to learn whether conditions are honoured."""


def check_run(run: str) -> str:
    """Return `run` if it is a valid run id.

    Raises:
        ConfigError: It is not; the sentence states the rule.
    """
    if not RUN_PATTERN.fullmatch(run):
        raise ConfigError(f"Run id {quoted(run)} is not allowed: use {RUN_RULE}.")
    return run


def blob(digest: str) -> str:
    """Key of the content with this SHA-256 (hex)."""
    return f"blobs/sha256/{digest[:2]}/{digest}"


def run_record(run: str) -> str:
    """Key of a run's resolved recipe."""
    return f"runs/{run}/run.json"


def commit(run: str, stage: str) -> str:
    """Key of the record that makes a stage's artifacts exist."""
    return f"runs/{run}/{stage}/COMMIT.json"


def telemetry(run: str, stage: str, name: str) -> str:
    """Key of a telemetry file of one execution."""
    return f"runs/{run}/{stage}/telemetry/{name}"


def attempt(run: str, stage: str, name: str) -> str:
    """Key of the record of one failed attempt."""
    return f"runs/{run}/{stage}/attempts/{name}.json"


def stage_keys(stage: str) -> str:
    """Prefix of the index entries of one stage."""
    return f"{KEYS}{stage}/"


def stage_key(stage: str, key: str) -> str:
    """Key of the index entry: stage key → the run that first produced it."""
    return f"keys/{stage}/{key}.json"


def checkpoint_head(key: str) -> str:
    """Key of the compare-and-set record that names the newest checkpoints of a train key."""
    return f"checkpoints/{key}/head.json"


def checkpoint_file(key: str, digest: str) -> str:
    """Key of a checkpoint's bytes; outside `blobs/`, since `train` deletes them itself."""
    return f"checkpoints/{key}/files/{digest}"


def endpoint(name: str) -> str:
    """Key of an endpoint's record."""
    return f"endpoints/{name}.json"


def model(name: str) -> str:
    """Key of a registered model: its versions, and which of them is the champion."""
    return f"{MODELS}{name}.json"


def comparisons(name: str) -> str:
    """Key of the list of comparisons that were made for a model."""
    return f"{COMPARISONS}{name}.json"


def statement(model: str, digest: str) -> str:
    """Key of the statement that lets a model's endpoint serve the archive with this digest (of `archive.json`, hex)."""
    return f"{STATEMENTS}{model}/{digest}.json"


def upload(digest: str, name: str) -> str:
    """Key of a user's own file."""
    return f"{UPLOADS}{digest}/{name}"


def run_prefix(run: str) -> str:
    """Prefix of all that belongs to one run."""
    return f"{RUNS}{run}/"


def telemetry_prefix(run: str, stage: str) -> str:
    """Prefix of the telemetry of a stage's executions."""
    return f"{RUNS}{run}/{stage}/telemetry/"


def attempts_prefix(run: str, stage: str) -> str:
    """Prefix of the records of a stage's attempts."""
    return f"{RUNS}{run}/{stage}/attempts/"


def checkpoint_files(key: str) -> str:
    """Prefix of the bytes of a train key's checkpoints."""
    return f"{CHECKPOINTS}{key}/files/"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, hex: the name of its bytes wherever they lie."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
