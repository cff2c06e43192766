"""What a person asked for on this machine and has not been seen to end, so that asking again is the same request.

An answer may be lost after the champion was moved. Asked for again, the same words have the same identity, and the
registry knows that it was carried out, also where somebody has moved the champion since.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from kubetune.config.settings import Settings, state_folder
from kubetune.errors import ConfigError, KubetuneError, TemporaryError
from kubetune.plan import ManualOverride


@contextmanager
def remembered(settings: Settings, action: str, what: str, override: ManualOverride) -> Iterator[ManualOverride]:
    """Give a manual override an identity that lasts until the command has ended with an answer.

    Args:
        settings: The state folder, which belongs to one store, holds what has not ended.
        action: For example `promote`.
        what: What it is about.
        override: One that has an identity already, for example an Airflow run, keeps it and is not noted.

    Yields:
        The override with its identity.

    Raises:
        ConfigError: The state folder cannot be written.
    """
    if override.request:
        yield override
        return
    file = state_folder(settings) / "requests" / f"{_digest(action, what, override.by, override.why)}.json"
    request = _noted(file)
    try:
        yield replace(override, request=request)
    except KubetuneError as error:
        if not isinstance(error, TemporaryError):
            file.unlink(missing_ok=True)  # an answer; asking again is another request
        raise
    file.unlink(missing_ok=True)


def _noted(file: Path) -> str:
    """Return the identity in a file, else draw one and note it before anything is asked for."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["request"])
    except (OSError, ValueError, KeyError, TypeError):
        request = uuid4().hex  # nothing was asked for yet, or by nobody who can be read
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{request[:8]}")
        partial.write_text(json.dumps({"request": request}), encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        raise ConfigError(
            f"The request cannot be noted in {file.parent} ({error.strerror}), so that asking again would make it "
            "twice: set KUBETUNE_STATE_DIR to a folder that can be written, or give --request."
        ) from error
    return request


def _digest(*words: str) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]
