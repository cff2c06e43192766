"""Brings an archive from the store to the folder that a server reads: by digest, checked, whole or not at all."""

import json
import re
import secrets
import shutil
from pathlib import Path

from kubetune import layout
from kubetune.errors import ConfigError, CorruptArtifactError, DataError, KubetuneError, TemporaryError
from kubetune.provenance.trust import Trust
from kubetune.serving.archive.manifest import MANIFEST, archive_digest, read_archive
from kubetune.storage.base import Store
from kubetune.storage.blobs import File, fetch_file, fetch_tree, parse_files

DIGEST = re.compile(r"[0-9a-f]{64}")
RULE = "archive-digest"


def fetch_archive(store: Store, digest: str, into: Path, trust: Trust | None = None) -> Path:
    """Place the archive as `into/<digest>`; one that lies there whole is left alone.

    Args:
        store: Only its blobs are read, by digest.
        digest: SHA-256 (hex) of the archive's `archive.json`.
        into: An existing folder.
        trust: What makes an archive fit to be served; its statement is placed as `into/<digest>.intoto.json`.

    Raises:
        ConfigError: `digest` is none, `into` is no folder, or the archive has an unknown format.
        DataError: A file is missing or does not have its digest, or the archive has no valid statement; nothing was
            placed.
        TemporaryError: The folder cannot be written.
        StoreUnavailableError: The store does not answer.
    """
    if not DIGEST.fullmatch(digest):
        raise ConfigError(
            f"{digest!r:.80} is no digest of an archive: KUBETUNE_ARCHIVE has to be 64 hex digits, as stage `deploy` "
            "writes them."
        )
    if not into.is_dir():
        raise ConfigError(f"{into} is no folder: mount one there.")
    placed = into / digest
    if trust is not None:
        trust.require(into, digest)  # first: what nobody vouches for is not even read
    if placed.is_dir() and _whole(placed, digest):
        return placed
    _sweep(into, digest)
    partial = into / f".{digest[:12]}-{secrets.token_hex(4)}.partial"
    try:
        partial.mkdir()
        _fetch(store, digest, partial)
        partial.rename(placed)
    except CorruptArtifactError as error:
        raise DataError(RULE, f"Archive {digest[:12]} was not placed: {error}") from error
    except OSError as error:
        raise TemporaryError(f"Archive {digest[:12]} cannot be written to {into} ({error.strerror}).") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return placed


def _fetch(store: Store, digest: str, partial: Path) -> None:
    """Fetch the manifest, then what it lists, and read all of it as the server will."""
    fetch_file(store, layout.blob(digest), digest, partial / MANIFEST)
    fetch_tree(store, _listed(partial / MANIFEST), partial)
    read_archive(partial)


def _listed(manifest: Path) -> tuple[File, ...]:
    try:
        values = json.loads(manifest.read_bytes())
        return parse_files(values["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{MANIFEST} of the archive is not readable ({error}): package the run again.") from error


def _whole(placed: Path, digest: str) -> bool:
    """Whether a container that was restarted has placed it already."""
    try:
        read_archive(placed)
        return archive_digest(placed) == digest
    except KubetuneError:
        shutil.rmtree(placed, ignore_errors=True)
        return False


def _sweep(into: Path, digest: str) -> None:
    """Remove what an attempt that was killed left behind."""
    for left in into.glob(f".{digest[:12]}-*.partial"):
        shutil.rmtree(left, ignore_errors=True)
