"""The document of a version: everything that an audit needs, as one blob that the registry's record names."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from kubetune import layout
from kubetune.errors import CorruptArtifactError, KubetuneError
from kubetune.storage.base import Store
from kubetune.storage.blobs import File, parse_files, put_blob
from kubetune.storage.records import digest_of
from kubetune.storage.registry import Version

FORMAT = 1
NO_CHAMPION: Mapping[str, Any] = {
    "format": 1,
    "name": "",
    "version": None,
    "run": None,
    "archive": None,
    "model": None,
    "earlier": 0,
}
"""What a candidate is given as its champion where there is none, or none is to be looked at."""
MANIFEST = "archive.json"
"""The file of an archive whose digest names the archive to endpoints."""


def put_document(store: Store, document: Mapping[str, Any]) -> str:
    """Store a document and return its SHA-256 (hex)."""
    digest_of(document)  # refuses what is no plain JSON
    return put_blob(store, (json.dumps(document, sort_keys=True, indent=1) + "\n").encode())


def read_document(store: Store, version: Version) -> dict[str, Any]:
    """Return the document of a version.

    Raises:
        CorruptArtifactError: It is missing or its bytes are broken.
        KubetuneError: It has an unknown format.
    """
    stored = store.get(layout.blob(version.document))
    if stored is None or hashlib.sha256(stored.data).hexdigest() != version.document:
        raise CorruptArtifactError(
            version.document,
            f"The document of version {version.number} (run {version.run}) is missing or broken: restore blob "
            f"{version.document[:12]} from a backup, or register the run again.",
        )
    document: dict[str, Any] = json.loads(stored.data)
    if document.get("format") != FORMAT:
        raise KubetuneError(f"The document of version {version.number} has an unknown format: use a newer kubetune.")
    return document


def files_of(document: Mapping[str, Any], artifact: str) -> tuple[File, ...]:
    """Return the files of one of the version's artifacts: `archive`, `report` or `behaviour`."""
    return parse_files(document["files"][artifact])


def archive_digest_of(files: tuple[File, ...]) -> str:
    """Return the digest by which endpoints know an archive: that of its manifest.

    Raises:
        KubetuneError: It has no manifest.
    """
    for file in files:
        if file.path == MANIFEST:
            return file.sha256
    raise KubetuneError("An archive without archive.json was found: package the run again.")
