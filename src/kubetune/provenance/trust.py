"""Whose statements count here, and where they are looked for: beside the archive first, then in the store."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune.errors import DataError, TemporaryError
from kubetune.provenance.envelope import RULE, read_envelope, verify
from kubetune.provenance.keys import load_trusted_keys

Source = Callable[[str, str], Mapping[str, Any] | None]
"""Model and archive digest → the envelope, or None where there is none."""


@dataclass(frozen=True)
class Trust:
    """What makes an archive fit to be served. Keys are read at each check, so that they can be changed meanwhile.

    Attributes:
        keys: File or folder of public keys.
        model: Registered model that is served; an archive that was registered for another one is refused.
        source: Where a statement comes from that does not lie beside its archive; None: from nowhere else.
    """

    keys: Path
    model: str
    source: Source | None = None

    def require(self, folder: Path, digest: str) -> dict[str, Any]:
        """Return the statement of an archive; one that came from the source is written beside it.

        Args:
            folder: Folder that the archive lies in, or will lie in.
            digest: SHA-256 (hex) of its `archive.json`.

        Raises:
            DataError: There is no valid statement.
            ConfigError: No key can be read.
            TemporaryError: It cannot be written.
        """
        statement, envelope = self._find(folder, digest)
        if envelope is not None:
            write_beside(statement_file(folder, digest), envelope)
        return statement

    def find(self, folder: Path, digest: str) -> dict[str, Any]:
        """The same, and nothing is written."""
        return self._find(folder, digest)[0]

    def _find(self, folder: Path, digest: str) -> tuple[dict[str, Any], Mapping[str, Any] | None]:
        """Return the statement, and its envelope where it came from the source."""
        keys = load_trusted_keys(self.keys)
        try:
            return verify(read_envelope(statement_file(folder, digest)), self.model, digest, keys), None
        except DataError:
            if self.source is None:
                raise
        envelope = self.source(self.model, digest)
        if envelope is None:
            raise DataError(
                RULE,
                f"Archive {digest[:12]} has no statement as model {self.model}, and KUBETUNE_TRUSTED_KEYS asks for "
                "one: register its run for that model where KUBETUNE_SIGNING_KEY is set.",
            )
        return verify(envelope, self.model, digest, keys), envelope


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
