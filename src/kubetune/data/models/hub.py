"""Model source `hub`: a repository of a Hugging Face hub, frozen at the commit that its revision names now."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubetune.data.bounds import bounds_of, check_size
from kubetune.data.hub import ANSWER_WITHIN_S, hub_client, hub_errors
from kubetune.data.models.files import PretrainedCheckpoint, needed_names, shard_names
from kubetune.data.models.freeze import freeze_checkpoint
from kubetune.data.models.licence import card_licence
from kubetune.errors import DataError, TemporaryError

COMMIT = re.compile(r"[0-9a-f]{40}")
CONNECTIONS = 4


def identify(source: Any, platform: Mapping[str, Any]) -> str | None:
    """Return the commit that the revision names now; a revision that is a commit is asked for nowhere.

    Raises:
        ConfigError: It does not exist, is gated, or settings say offline.
        TemporaryError: The hub does not answer.
    """
    if COMMIT.fullmatch(source.revision):
        return str(source.revision)
    return str(_describe(source, platform)[1].sha)


def locate(source: Any, platform: Mapping[str, Any], scratch: Path, *, weights: bool = True) -> PretrainedCheckpoint:
    """Download what is needed of the commit to `scratch`; without `weights`, the tokenizer alone.

    Raises:
        ConfigError: It does not exist, is gated, or settings say offline.
        DataError: The repository holds no such checkpoint.
        TemporaryError: The hub does not answer, or broke off.
    """
    client, info = _describe(source, platform)
    listed = {file.rfilename: file for file in info.siblings or ()}
    names = needed_names(listed, weights=weights)
    bounds = bounds_of(platform)
    check_size(sum(listed[name].size or 0 for name in names), f"Model {source.name}", bounds)
    checkpoint = PretrainedCheckpoint(scratch / "hub", source.kind, str(info.sha), None)
    _download(client, source.name, checkpoint, {name: listed[name] for name in names})
    for index in (name for name in names if name.endswith(".index.json")):
        shards = shard_names(checkpoint.folder / index)
        if absent := [name for name in shards if name not in listed]:
            raise DataError("weights", f"{index} names {absent[0]}, which the repository lacks: use another revision")
        check_size(sum(listed[name].size or 0 for name in shards), f"Model {source.name}", bounds)
        _download(client, source.name, checkpoint, {name: listed[name] for name in shards})
    return replace(checkpoint, licence=card_licence(checkpoint.folder))


def fetch(
    source: Any, platform: Mapping[str, Any], tokenizer_dir: Path, weights_dir: Path, scratch: Path
) -> dict[str, Any]:
    """See `locate` and `freeze`."""
    return freeze_checkpoint(locate(source, platform, scratch), tokenizer_dir, weights_dir, scratch)


def _describe(source: Any, platform: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return a client and what the hub says of the revision: its commit and its files with their digests."""
    client = hub_client(platform)
    with hub_errors(f"Model {source.name} at revision {source.revision}"):
        return client, client.model_info(
            source.name, revision=source.revision, files_metadata=True, timeout=ANSWER_WITHIN_S
        )


def _download(client: Any, name: str, checkpoint: PretrainedCheckpoint, files: Mapping[str, Any]) -> None:
    """Download files of the commit, and compare them with the digests that the hub lists: the client checks sizes."""
    what = f"Model {name} at commit {str(checkpoint.revision)[:12]}"
    with hub_errors(what):
        client.snapshot_download(
            name,
            revision=checkpoint.revision,
            local_dir=checkpoint.folder,
            allow_patterns=list(files),
            max_workers=CONNECTIONS,
        )
    for file, listed in files.items():
        path = checkpoint.folder / file
        if not path.is_file() or not _is_listed(path, listed):
            raise TemporaryError(f"{what}: {file} did not arrive as the hub lists it; run the same command again.")


def _is_listed(path: Path, listed: Any) -> bool:
    """Whether a file has the SHA-256 of large files, or the git blob id of the others."""
    with path.open("rb") as file:
        if listed.lfs is not None:
            return hashlib.file_digest(file, "sha256").hexdigest() == str(listed.lfs.sha256)
        content = file.read()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return listed.blob_id is None or blob.hexdigest() == str(listed.blob_id)
