"""Whose statements count here, and where they are looked for: beside the archive first, then in the store.

The list of revoked versions is asked for each time, of the store where there is one: a copy beside the archive is only
as new as the last look. What is missing or older than what was seen stops an archive as a wrong signature does.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubetune.errors import DataError, TemporaryError
from kubetune.provenance.envelope import RULE, read_envelope, verify_envelope
from kubetune.provenance.keys import load_trusted_keys
from kubetune.provenance.revocations import RULE as REVOKED
from kubetune.provenance.revocations import Revocations, verify_revocations, weights_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Source = Callable[[str, str], Mapping[str, Any] | None]
"""Model and archive digest → the envelope, or None where there is none."""
Lister = Callable[[], Mapping[str, Any] | None]
"""→ the envelope of the list of revoked versions, or None where there is none."""


@dataclass(frozen=True)
class Trust:
    """What makes an archive fit to be served. Keys are read at each check, so that they can be changed meanwhile.

    Attributes:
        keys: File or folder of public keys.
        model: Registered model that is served; an archive that was registered for another one is refused.
        source: Where a statement comes from that does not lie beside its archive; None: from nowhere else.
        revocations: Where the list of revoked versions comes from; None: it lies beside the archive.
        least_epoch: Least epoch of that list; an older one is refused wherever it comes from.
    """

    keys: Path
    model: str
    source: Source | None = None
    revocations: Lister | None = None
    least_epoch: int = 0

    def require(self, folder: Path, digest: str) -> dict[str, Any]:
        """Return the statement of an archive; it and the list of revoked versions are written beside the archive.

        Args:
            folder: Folder that the archive lies in, or will lie in.
            digest: SHA-256 (hex) of its `archive.json`.

        Raises:
            DataError: There is no valid statement, or no valid list, or the list names the archive or its weights.
            ConfigError: No key can be read.
            TemporaryError: It cannot be written.
        """
        statement, fresh = self._find(folder, digest)
        for file, envelope in fresh.items():
            write_beside(file, envelope)
        return statement

    def find(self, folder: Path, digest: str) -> dict[str, Any]:
        """The same, and nothing is written."""
        return self._find(folder, digest)[0]

    def _find(self, folder: Path, digest: str) -> tuple[dict[str, Any], dict[Path, Mapping[str, Any]]]:
        """Return the statement, and what came from elsewhere by the file that it belongs into."""
        keys, fresh = load_trusted_keys(self.keys), {}
        try:
            statement = verify_envelope(read_envelope(statement_file(folder, digest)), self.model, digest, keys)
        except DataError:
            if self.source is None:
                raise
            envelope = self.source(self.model, digest)
            if envelope is None:
                raise DataError(
                    RULE,
                    f"Archive {digest[:12]} has no statement as model {self.model}, and KUBETUNE_TRUSTED_KEYS asks for "
                    "one: register its run for that model where KUBETUNE_SIGNING_KEY is set.",
                ) from None
            statement = verify_envelope(envelope, self.model, digest, keys)
            fresh[statement_file(folder, digest)] = envelope
        revoked, listed = self._revocations(folder, keys)
        if (found := revoked.of(self.model, digest, weights_of(statement))) is not None:
            raise DataError(
                REVOKED,
                f"Archive {digest[:12]} is signed and not to be served: {found.sentence()}; `kubetune rollback "
                f"{self.model}` brings back the champion before it, `kubetune promote` names another version.",
            )
        return statement, fresh | listed

    def _revocations(
        self, folder: Path, keys: "Mapping[str, Ed25519PublicKey]"
    ) -> tuple[Revocations, dict[Path, Mapping[str, Any]]]:
        """Return the list that counts, and it by its file where that holds another one."""
        file = revocations_file(folder)
        beside = _readable(file, keys)
        if self.revocations is None:
            found = beside if beside is not None else verify_revocations(_required(file), keys)
            return self._new_enough(found, Revocations()), {}
        envelope = self.revocations()
        if envelope is None:
            raise DataError(REVOKED, f"The store has no list of revoked versions, {NONE}")
        found = self._new_enough(verify_revocations(envelope, keys), beside or Revocations())
        return found, {} if found == beside else {file: envelope}

    def _new_enough(self, found: Revocations, seen: Revocations) -> Revocations:
        if found.epoch < max(seen.epoch, self.least_epoch):
            known = f"{seen.epoch} was seen here" if seen.epoch > found.epoch else f"{self.least_epoch} is asked for"
            raise DataError(
                REVOKED,
                f"The list of revoked versions has epoch {found.epoch}, and {known} (KUBETUNE_REVOCATION_EPOCH): an "
                "older list was put in its place, restore the newest version of revocations.json in the bucket.",
            )
        return found


NONE = (
    "and without one nobody can say that an archive is still to be served: registering any run where "
    "KUBETUNE_SIGNING_KEY is set signs one."
)


def _required(file: Path) -> dict[str, Any]:
    if not file.exists():
        raise DataError(REVOKED, f"There is no {file}, {NONE}")
    return read_envelope(file)


def _readable(file: Path, keys: "Mapping[str, Ed25519PublicKey]") -> Revocations | None:
    """Return the list in a file; None where none is there that counts."""
    try:
        return verify_revocations(read_envelope(file), keys)
    except DataError:
        return None


def revocations_file(folder: Path) -> Path:
    """Return where the list lies beside archives."""
    return folder / "revocations.json"


def statement_file(folder: Path, digest: str) -> Path:
    """Return where an archive's statement lies: beside the archive, since the archive's own files are a closed set."""
    return folder / f"{digest}.intoto.json"


def write_beside(file: Path, envelope: Mapping[str, Any]) -> None:
    """Write an envelope in one step.

    Raises:
        TemporaryError: The folder cannot be written.
    """
    partial = file.with_name(f".{file.name[:12]}-{secrets.token_hex(4)}.statement")
    try:
        partial.write_text(json.dumps(envelope, sort_keys=True, indent=2) + "\n", encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise TemporaryError(f"The statement cannot be written to {file.parent} ({error.strerror}).") from error
