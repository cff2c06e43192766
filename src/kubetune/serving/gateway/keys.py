"""API keys: a mounted file of `name:sha256` lines, read again when it changes, compared in constant time."""

import base64
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kubetune.errors import ConfigError
from kubetune.serving.gateway.refusal import HttpRefusal

log = logging.getLogger(__name__)
LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62}):([0-9a-f]{64})(?::([a-z0-9-]+(?:,[a-z0-9-]+)*))?")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
LOOK_S = 1.0
PREFIX = "kt_"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="kubetune"'}
BROWSER_CHALLENGE = {"WWW-Authenticate": 'Basic realm="kubetune: any name, the API key as password", charset="UTF-8"'}


@dataclass(frozen=True)
class Key:
    """One line of the file.

    Attributes:
        name: Whose key it is; shown in no answer.
        sha256: SHA-256 of the key, hex.
        endpoints: Endpoints that it opens; empty: every one that mounts the file.
    """

    name: str
    sha256: str
    endpoints: tuple[str, ...] = ()


def new_key(name: str) -> tuple[str, str]:
    """Draw a key of 256 random bits; returns the key and its line for the file.

    Raises:
        ConfigError: The name does not fit a line.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"Key name {name!r:.80} is not allowed: use 1 to 63 letters, digits, dots, hyphens.")
    key = PREFIX + secrets.token_urlsafe(32)
    return key, f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def parse_keys(text: str) -> tuple[tuple[Key, ...], tuple[int, ...]]:
    """Return the keys of a file and the numbers of lines that are none; empty lines and `#` comments are neither."""
    keys, wrong = [], []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if found := LINE.fullmatch(stripped):
            keys.append(Key(found[1], found[2], tuple(found[3].split(",")) if found[3] else ()))
        else:
            wrong.append(number)
    return tuple(keys), tuple(wrong)


class KeyRing:
    """The keys that count now. A line that is no key opens nothing, and neither does a file that cannot be read."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file.

        Raises:
            ConfigError: There is no such file.
        """
        if not path.is_file():
            raise ConfigError(
                f"The file of API keys {path} does not exist: mount a Secret there whose lines `kubetune endpoint-key "
                "new NAME` prints, or unset KUBETUNE_API_KEYS_FILE."
            )
        self.path, self._clock = path, clock
        self._stamp: tuple[int, int, int] | None = None
        self._looked = float("-inf")
        self.keys: tuple[Key, ...] = ()
        self.refresh()

    def refresh(self) -> None:
        """Read the file again if it changed; looks at most once a second."""
        if self._clock() - self._looked < LOOK_S:
            return
        self._looked = self._clock()
        try:
            found = self.path.stat()  # follows the links by which Kubernetes swaps a mounted Secret
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if stamp == self._stamp:
                return
            self.keys, wrong = parse_keys(self.path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            log.error("the file of API keys cannot be read (%s): every request is refused", type(error).__name__)
            self.keys, self._stamp = (), None
            return
        self._stamp = stamp
        if wrong:
            log.error("lines %s of the API keys are not name:sha256 and open nothing", ", ".join(map(str, wrong)))
        log.warning("%d API keys are valid", len(self.keys))

    def openers(self, endpoint: str) -> int:
        """Return how many clients have a key that opens an endpoint; two keys of one name are one client's."""
        return len({key.name for key in self.keys if not key.endpoints or endpoint in key.endpoints})

    def find(self, presented: str) -> Key | None:
        """Return whose key this is; compares with every line, so that time tells nothing."""
        digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found


def admit(ring: KeyRing | None, headers: Mapping[str, str], endpoint: str, *, basic: bool = False) -> str:
    """Return the name of the key that a request carries; empty where no keys are asked for.

    Args:
        ring: The keys; None: none are asked for.
        headers: Of the request.
        endpoint: What the key has to open.
        basic: Whether the key may also be the password of a login, which is all that a browser asks a person for.

    Raises:
        Refusal: 401 without a valid key, 403 with one of another endpoint.
    """
    if ring is None:
        return ""
    ring.refresh()
    challenge = BROWSER_CHALLENGE if basic else CHALLENGE
    presented = _presented(headers, basic=basic)
    if not presented:
        reason = "send an API key as `Authorization: Bearer KEY` or `x-api-key: KEY`"
        raise HttpRefusal(401, reason, challenge, audit="it has no API key")
    key = ring.find(presented)
    if key is None:
        raise HttpRefusal(401, "the API key is not known, or was revoked", challenge, audit="its API key is not known")
    if key.endpoints and endpoint not in key.endpoints:
        reason = f"the API key does not open endpoint {endpoint}"
        raise HttpRefusal(403, reason, audit=f"key {key.name} does not open endpoint {endpoint}")
    return key.name


def _presented(headers: Mapping[str, str], *, basic: bool) -> str:
    """Return the key that a request shows; empty: none."""
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if basic and scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")[2].strip()
        except ValueError:
            return ""
    return headers.get("x-api-key", "").strip()
