"""One object from one store to another: content checked on its way, records never put over what they do not follow."""

import base64
import json
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import uuid4

from kubetune import layout
from kubetune.errors import CorruptArtifactError
from kubetune.storage.base import GRACE_S, Store
from kubetune.storage.blobs import READS, File, fetch_file, in_parallel, is_intact
from kubetune.storage.commit_record import parse_commit
from kubetune.storage.records import ROUNDS, Parse, contended, decode, pause, refuse_newer
from kubetune.storage.runs import recorded_recipe

T = TypeVar("T")
Relation = Literal["same", "follows", "conflict"]
Relate = Callable[[Mapping[str, Any], Mapping[str, Any]], Relation]
"""How a record that is copied stands to the one that lies in the target: (target's, source's) → relation."""


@dataclass
class Copied:
    """What a copy did.

    Attributes:
        runs: Runs that the target now has.
        models: Registered models that the target now has.
        records: Records that were written.
        files: Blobs, uploads and files of checkpoints that were sent.
        bytes: Their size.
        broken: What the source could not give whole: one key with a reason each.
        conflicts: Records of the target that are no earlier state of the source's; they stay.
    """

    runs: int = 0
    models: int = 0
    records: int = 0
    files: int = 0
    bytes: int = 0
    broken: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


class Transfer:
    """Copies single objects and counts them; safe for several threads.

    Args:
        source: Store that is only read.
        target: Store that is written.
        scratch: Folder for content on its way; holds the 8 largest files at most.
        audit: Read what lies in the target already instead of trusting its size.
        clock: Seconds since the epoch by the target's clock, at most.
    """

    def __init__(self, source: Store, target: Store, scratch: Path, *, audit: bool, clock: Callable[[], float]) -> None:
        self.source, self.target, self.scratch, self.audit, self.clock = source, target, scratch, audit, clock
        self.done = Copied()
        self._lock = threading.Lock()
        self._whole: set[str] = set()  # keys that this copy has seen to; many runs share the files of few trainings

    def content(self, key: str, digest: str, size: int | None, *, reached: bool = False) -> bool:
        """Make what lies under a key of the source lie in the target, its digest checked on the way.

        Args:
            key: Key of a blob, an upload or a file of a checkpoint.
            digest: SHA-256 (hex) that it must have.
            size: Bytes; None: not known.
            reached: A record of the target names it already, so that its `gc` leaves it alone however old it is.

        Returns:
            False if the source does not have it, or has other bytes; nothing was written then.
        """
        if key in self._whole or self._lies(key, digest, size, reached=reached):
            self._whole.add(key)
            return True
        passing = self.scratch / uuid4().hex
        try:
            fetch_file(self.source, key, digest, passing)
            sent = passing.stat().st_size
            self.target.put(key, passing)
        except CorruptArtifactError:
            return False
        finally:
            passing.unlink(missing_ok=True)
        with self._lock:
            self.done.files += 1
            self.done.bytes += sent
            self._whole.add(key)
        return True

    def _lies(self, key: str, digest: str, size: int | None, *, reached: bool) -> bool:
        lying = self.target.stat(key)
        if lying is None or (size is not None and lying.size != size):
            return False
        if not reached and self.clock() - lying.modified >= GRACE_S / 2:
            return False  # sent again, it is young: `gc` may be about to take it
        return is_intact(self.target, key, digest) if self.audit or size is None else True

    def blobs(self, files: Iterable[File], *, reached: bool = False) -> list[str]:
        """Copy the blobs of a file list; returns the digests of those that the source cannot give."""
        wanted = sorted({(file.sha256, file.size) for file in files})
        given = in_parallel(lambda item: self.content(layout.blob(item[0]), *item, reached=reached), wanted)
        return [digest for (digest, _), whole in zip(wanted, given, strict=True) if not whole]

    def record(self, key: str, data: bytes, relate: Relate) -> bool:
        """Write a record, byte for byte, where nothing lies or where it follows what lies there.

        Returns:
            False if it was not written because the target has another one; it is noted as a conflict.
        """
        for round_number in range(ROUNDS):
            relation, etag = self._relation(key, data, relate)
            if relation == "same":
                return True
            if relation == "conflict":
                self.note_conflict(key)
                return False
            if self.target.swap(key, data, etag) is not None:
                self.count_record()
                return True
            pause(round_number)
        raise contended(key)

    def conflicts_with(self, key: str, data: bytes, relate: Relate) -> bool:
        """Whether `record` would find another one in the target; writes nothing."""
        return self._relation(key, data, relate)[0] == "conflict"

    def _relation(self, key: str, data: bytes, relate: Relate) -> tuple[Relation, str | None]:
        standing = self.target.get(key)
        if standing is None:
            return "follows", None
        if standing.data == data:
            return "same", standing.etag
        theirs, ours = decode(standing.data), decode(data)
        if theirs is None or ours is None:
            return "follows", standing.etag  # garbage gives way
        try:
            return relate(theirs, ours), standing.etag
        except (KeyError, TypeError, ValueError, AttributeError):
            return "conflict", standing.etag

    def note_broken(self, key: str, reason: str) -> None:
        """Remember what the source could not give."""
        with self._lock:
            self.done.broken.append(f"{key} ({reason})")

    def note_conflict(self, key: str) -> None:
        """Remember a record of the target that stays."""
        with self._lock:
            self.done.conflicts.append(key)

    def count_record(self) -> None:
        """Count a record that was written."""
        with self._lock:
            self.done.records += 1


def relate_runs(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Relation:
    """A run keeps its recipe."""
    return "same" if recorded_recipe(theirs) == recorded_recipe(ours) else "conflict"


def relate_commits(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Relation:
    """A commit never changes; who wrote it and where may differ."""
    return "same" if parse_commit(theirs).result == parse_commit(ours).result else "conflict"


def relate_histories(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Relation:
    """Models and endpoints count their changes: ours follows if it has changed more often, on the same way so far."""
    lines = {line["epoch"]: line for line in ours["history"]}
    agree = all(line["epoch"] not in lines or lines[line["epoch"]] == line for line in theirs["history"])
    numbers = [version["archive"] for version in theirs.get("versions", [])]
    kept = [version["archive"] for version in ours.get("versions", [])][: len(numbers)] == numbers
    return "follows" if int(ours["epoch"]) > int(theirs["epoch"]) and agree and kept else "conflict"


def relate_comparisons(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Relation:
    """Comparisons are only ever added."""
    return "follows" if ours["made"][: len(theirs["made"])] == theirs["made"] else "conflict"


def relate_revocations(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Relation:
    """The list of revoked versions counts its changes in what is signed; equal lists may gain signatures."""
    (before, one), (after, other) = ((signed["payload"], signed) for signed in (theirs["envelope"], ours["envelope"]))
    if before == after:
        return "follows" if len(other["signatures"]) >= len(one["signatures"]) else "same"
    epochs = [int(json.loads(base64.b64decode(payload))["epoch"]) for payload in (before, after)]
    return "follows" if epochs[1] > epochs[0] else "conflict"


def relate_heads(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Relation:
    """The checkpoints that are further on win."""
    newest = [max((int(item["step"]) for item in head["checkpoints"]), default=0) for head in (theirs, ours)]
    return "follows" if newest[1] >= newest[0] else "same"


def read_whole(store: Store, key: str, parse: Parse[T]) -> tuple[bytes | None, T | None]:
    """Return a record's bytes and value; the value is None where it is not whole, both where nothing lies there."""
    data: bytes | None = None
    for _ in range(READS):
        stored = store.get(key)
        if stored is None:
            return None, None
        data, record = stored.data, decode(stored.data)
        if record is None:
            continue
        refuse_newer(store, key, record)
        try:
            return data, parse(record)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return data, None


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for content on its way; `TMPDIR` says where."""
    return tempfile.TemporaryDirectory(prefix="kubetune-copy-")
