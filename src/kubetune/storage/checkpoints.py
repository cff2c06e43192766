"""Checkpoints in a store: what `train` publishes is durable, verified, and found by any run with the same train key.

Bytes first, then a read back, then the head record by compare-and-set, and only then older bytes go.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune import layout
from kubetune.errors import CorruptArtifactError, KubetuneError, StoreUnavailableError
from kubetune.storage.base import Store
from kubetune.storage.blobs import READS, File, fetch_file, in_parallel, is_intact, list_tree, parse_files, tree_digest
from kubetune.storage.records import find, update

FORMAT = 1
KEPT = 3
MANIFEST = "manifest.json"
Report = Callable[[str], None]


@dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint.

    Attributes:
        step: Optimizer steps done.
        files: Its files, the manifest included.
    """

    step: int
    files: tuple[File, ...]

    @property
    def digest(self) -> str:
        """Names its content."""
        return tree_digest(self.files)

    def to_json(self) -> dict[str, Any]:
        """As it stands in the head record."""
        return {"step": self.step, "files": [file.to_json() for file in self.files]}


def parse_head(value: Mapping[str, Any]) -> tuple[Checkpoint, ...]:
    """Read the head record, newest first; KeyError, TypeError or ValueError says that it is none."""
    if value["format"] != FORMAT:
        raise ValueError("unknown format")
    return tuple(Checkpoint(int(item["step"]), parse_files(item["files"])) for item in value["checkpoints"])


class StoredCheckpoints:
    """The spool of one train key; see `kubetune.contract.CheckpointSpool`.

    Args:
        store: Store.
        key: Train key: any run with it resumes these checkpoints.
        scratch: Folder below which restored checkpoints are written.
        report: Told in one sentence why a checkpoint was skipped.
    """

    def __init__(self, store: Store, key: str, scratch: Path, report: Report) -> None:
        self.store = store
        self.key = key
        self.scratch = scratch
        self.report = report
        self._broken: set[str] = set()

    def restore(self) -> list[Path]:
        """Return verified checkpoint folders, newest first; a broken one is skipped and reported."""
        head = find(self.store, layout.checkpoint_head(self.key), parse_head)
        if head.value is None and head.etag is not None:
            self.report("The head of the checkpoints is garbage and counts as absent: training starts from step 0.")
        folders = []
        for checkpoint in head.value or ():
            folder = self.scratch / "restored" / f"{checkpoint.step:012d}-{checkpoint.digest[:12]}"
            try:
                self._fetch(checkpoint, folder)
            except CorruptArtifactError as error:
                self._broken.add(checkpoint.digest)
                shutil.rmtree(folder, ignore_errors=True)
                self.report(f"Checkpoint of step {checkpoint.step} is broken and was skipped: {error}")
            else:
                folders.append(folder)
        return folders

    def publish(self, folder: Path) -> None:
        """Make a complete folder durable; returns once it was read back and the head names it.

        Raises:
            StoreUnavailableError: The store did not take it, or gave other bytes back; what was there before stands.
        """
        checkpoint = Checkpoint(step_of(folder), list_tree(folder))
        in_parallel(lambda file: self._put(folder, file), checkpoint.files)
        dropped: tuple[Checkpoint, ...] = ()
        kept: tuple[Checkpoint, ...] = ()

        def change(head: tuple[Checkpoint, ...] | None) -> dict[str, Any]:
            nonlocal dropped, kept
            others = [item for item in head or () if item.digest not in self._broken and item.step != checkpoint.step]
            # By step, so that a straggler of an earlier attempt does not push out what is further on.
            ordered = sorted([checkpoint, *others], key=lambda item: -item.step)
            kept = tuple(ordered[:KEPT])
            dropped = tuple(item for item in head or () if item not in kept)
            return {"format": FORMAT, "checkpoints": [item.to_json() for item in kept]}

        update(self.store, layout.checkpoint_head(self.key), parse_head, change)
        self._broken.discard(checkpoint.digest)
        live = digests(kept)
        for digest in sorted(digests((*dropped, checkpoint)) - live):
            self.store.delete(layout.checkpoint_file(self.key, digest))

    def _put(self, folder: Path, file: File) -> None:
        """Upload one file and read it back."""
        key = layout.checkpoint_file(self.key, file.sha256)
        for _ in range(READS):
            self.store.put(key, folder / file.path)
            if is_intact(self.store, key, file.sha256):
                return
        raise StoreUnavailableError(
            f"Checkpoint file {file.path} read back from {self.store.url} is not what was sent; the former checkpoints "
            "stand: check the store, then run the same command again."
        )

    def _fetch(self, checkpoint: Checkpoint, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

        def fetch(file: File) -> None:
            fetch_file(self.store, layout.checkpoint_file(self.key, file.sha256), file.sha256, folder / file.path)

        in_parallel(fetch, checkpoint.files)


def digests(checkpoints: Iterable[Checkpoint]) -> set[str]:
    """Digests of all files of some checkpoints."""
    return {file.sha256 for checkpoint in checkpoints for file in checkpoint.files}


def step_of(folder: Path) -> int:
    """Return the step that a checkpoint's manifest states.

    Raises:
        KubetuneError: There is no manifest, so the folder is not complete.
    """
    try:
        return int(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KubetuneError(f"{folder} is no complete checkpoint: {MANIFEST} with a step is missing.") from error
