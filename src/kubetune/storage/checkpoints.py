"""Checkpoints in a store: what `train` publishes is durable, verified, and found by any run with the same train key.

Bytes first, then a read back, then the head record by compare-and-set, and only then older bytes go.

Two executions of one train key may publish at once, and equal files (the best weights so far, say) lie under one key
for all of them. So that neither deletes what the other just put: who drops a file from the head deletes it only if
nobody put it again since, and who finds the head changed since it began to upload uploads again before it is named.
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
from kubetune.storage.records import Found, find, update

FORMAT = 1
KEPT = 3
MANIFEST = "manifest.json"
CLOCK_STEP_S = 1.0
"""How coarse a store's times are; S3 states whole seconds."""
RESTORES = 3
Report = Callable[[str], None]


@dataclass(frozen=True)
class StoredCheckpoint:
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


Checkpoints = tuple[StoredCheckpoint, ...] | None
"""What a head names, newest first; None: there is no head, or garbage."""


def parse_head(value: Mapping[str, Any]) -> tuple[StoredCheckpoint, ...]:
    """Read the head record, newest first; KeyError, TypeError or ValueError says that it is none."""
    if value["format"] != FORMAT:
        raise ValueError("unknown format")
    return tuple(StoredCheckpoint(int(item["step"]), parse_files(item["files"])) for item in value["checkpoints"])


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
        self._left: set[str] = set()
        """Files that no head named any more and that were too young to be deleted."""

    def restore(self) -> list[Path]:
        """Return verified checkpoint folders, newest first; a broken one is skipped and reported."""
        for _ in range(RESTORES):
            head = self._head()
            folders = self._fetched(head.value or ())
            if folders or self._head().etag == head.etag:  # else all of them gave way to newer ones meanwhile
                break
        if head.value is None and head.etag is not None:
            self.report("The head of the checkpoints is garbage and counts as absent: training starts from step 0.")
        return folders

    def _head(self) -> Found[tuple[StoredCheckpoint, ...]]:
        return find(self.store, layout.checkpoint_head(self.key), parse_head)

    def _fetched(self, checkpoints: tuple[StoredCheckpoint, ...]) -> list[Path]:
        """Fetch each; those that are whole, in their order."""
        folders = []
        for checkpoint in checkpoints:
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
        checkpoint = StoredCheckpoint(step_of(folder), list_tree(folder))
        for last in (False, False, True):
            before = self._head()
            if checkpoint not in self._kept(checkpoint, before.value):
                self.report(f"Another execution of this training is further on: step {checkpoint.step} is not kept.")
                return
            self._put_all(folder, checkpoint)
            limit = self._deletable_until(checkpoint)
            found, kept = self._name(checkpoint, None if last else before)
            if found == before.value:
                break
        else:  # others keep publishing: they may delete a file of ours that no head named until now
            self._put_all(folder, checkpoint)
        self._broken.discard(checkpoint.digest)
        self._delete(digests((*(found or ()), checkpoint)) - digests(kept), limit)

    def _name(
        self, checkpoint: StoredCheckpoint, before: Found[tuple[StoredCheckpoint, ...]] | None
    ) -> tuple[Checkpoints, tuple[StoredCheckpoint, ...]]:
        """Put a checkpoint into the head, if `before` (None: whatever) stands there; returns what stood and stands."""
        found: Checkpoints = None

        def change(head: Checkpoints) -> dict[str, Any] | None:
            nonlocal found
            found = head
            if before is not None and head != before.value:
                return None
            return {"format": FORMAT, "checkpoints": [item.to_json() for item in self._kept(checkpoint, head)]}

        kept = update(self.store, layout.checkpoint_head(self.key), parse_head, change)
        return found, kept or ()

    def _kept(self, new: StoredCheckpoint, head: Checkpoints) -> tuple[StoredCheckpoint, ...]:
        """The checkpoints of a head with a new one in it, newest first."""
        others = [item for item in head or () if item.digest not in self._broken and item.step != new.step]
        # By step, so that a straggler of an earlier attempt does not push out what is further on.
        return tuple(sorted([new, *others], key=lambda item: -item.step)[:KEPT])

    def _deletable_until(self, checkpoint: StoredCheckpoint) -> float:
        """Until when (by the store's clock) a file must have been put to be deleted; asked before the head is changed.

        Who puts a file after that change puts it later, also where the store rounds its times.
        """
        put = [self.store.stat(layout.checkpoint_file(self.key, file.sha256)) for file in checkpoint.files[:1]]
        return min((stat.modified for stat in put if stat is not None), default=0.0) - CLOCK_STEP_S

    def _delete(self, dropped: set[str], limit: float) -> None:
        """Delete files that no head names, and those that were too young last time; remember which are too young."""
        named = digests(self._head().value or ())
        wanted, self._left = sorted((dropped | self._left) - named), set()
        for digest in wanted:
            key = layout.checkpoint_file(self.key, digest)
            if not self.store.delete(key, unless_newer_than=limit) and self.store.stat(key) is not None:
                self._left.add(digest)

    def _put_all(self, folder: Path, checkpoint: StoredCheckpoint) -> None:
        in_parallel(lambda file: self._put(folder, file), checkpoint.files)

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

    def _fetch(self, checkpoint: StoredCheckpoint, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

        def fetch(file: File) -> None:
            fetch_file(self.store, layout.checkpoint_file(self.key, file.sha256), file.sha256, folder / file.path)

        in_parallel(fetch, checkpoint.files)


def digests(checkpoints: Iterable[StoredCheckpoint]) -> set[str]:
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
