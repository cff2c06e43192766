"""A whole store into another one: a backup, and back again. The source may be in use meanwhile.

Whatever is copied is whole, although runs go on: a record is written after what it names, so the source is read from
the records that name (endpoints, models) to those that are named (commits), and the target is written the other way
round, content first. A copy that is killed leaves content and records that are whole as far as they go; the
same command again goes on from there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubetune import layout
from kubetune.errors import ConfigError, ConflictingCommitError, CorruptArtifactError, KubetuneError
from kubetune.storage.backup_runs import Report, copy_entry, copy_runs
from kubetune.storage.base import Clock, Stat, Store
from kubetune.storage.blobs import HEX, in_parallel
from kubetune.storage.checkpoints import parse_head
from kubetune.storage.comparisons import parse_comparisons
from kubetune.storage.endpoints import parse_endpoint
from kubetune.storage.registry import Version, parse_model
from kubetune.storage.statements import parse_statement, put_statement
from kubetune.storage.transfer import (
    Copied,
    Relate,
    Transfer,
    read_whole,
    relate_comparisons,
    relate_heads,
    relate_histories,
    relate_revocations,
    scratch_folder,
)
from kubetune.storage.versions import files_of, read_document

HEAD_READS = 5


@dataclass(frozen=True)
class Kind:
    """Records that change by compare-and-set, and that nothing makes again.

    Attributes:
        place: Prefix of their keys, ending in `/`, or the one key.
        parse: Builds a value, or says that a record is none.
        relate: Which one follows which.
    """

    place: str
    parse: Callable[[Mapping[str, Any]], Any]
    relate: Relate


KINDS = (
    Kind(layout.ENDPOINTS, parse_endpoint, relate_histories),
    Kind(layout.MODELS, parse_model, relate_histories),
    Kind(layout.COMPARISONS, parse_comparisons, relate_comparisons),
    Kind(layout.REVOCATIONS, parse_statement, relate_revocations),
)
"""In the order in which they are read: a model's record may name what an endpoint's does, never the other way round; a
comparison is counted, and a version is listed as revoked, before a model knows of it."""

Snapshot = dict[str, tuple[Kind, bytes, Any]]


def copy_store(
    source: Store,
    target: Store,
    *,
    checkpoints: bool = False,
    audit: bool = False,
    report: Report = lambda _: None,
    clock: Callable[[], float] | None = None,
) -> Copied:
    """Copy runs, index, models, endpoints, comparisons, statements and uploads with the content that they name.

    What the target has already is not sent again. Its records are replaced only by later states of themselves, so a
    second copy brings a backup up to date, and a restore over another store's history is refused. Nothing is removed
    from the target.

    Args:
        source: Store that is read; runs may go on in it.
        target: Store that is written; nothing else should write there, `gc` least of all.
        checkpoints: Copy the checkpoints of trainings as well; without them a training that is under way begins anew.
        audit: Read every byte that the target has already instead of trusting its size.
        report: Told one line for each run of which something was copied.
        clock: Seconds since the epoch; None: by the target's clock.

    Returns:
        What was copied.

    Raises:
        ConfigError: Both are the same store, the source holds nothing, or the target holds another history.
        CorruptArtifactError: All that is whole was copied, and something was not; names it.
        ConflictingCommitError: The target has another result for a run; all else was copied.
    """
    if source.url == target.url:
        raise ConfigError(f"{source.url} cannot be copied onto itself: name two stores.")
    with scratch_folder() as name:
        transfer = Transfer(source, target, Path(name), audit=audit, clock=clock or Clock(target).latest)
        snapshot = read_snapshot(transfer)
        refuse_other_history(transfer, snapshot)
        statements = [stat.key for stat in source.list(layout.STATEMENTS) if stat.key != layout.REVOCATIONS]
        entries = [stat.key for stat in source.list(layout.KEYS)]
        heads = [stat.key for stat in source.list(layout.CHECKPOINTS)] if checkpoints else []
        results = copy_runs(transfer, report)
        uploads = copy_uploads(transfer)
        if not (transfer.done.runs or snapshot or uploads or transfer.done.broken):
            raise ConfigError(
                f"{source.url} holds no run, no model and no upload: name the store that is to be copied."
            )
        in_parallel(lambda key: copy_entry(transfer, key, results), entries)
        for head in (key for key in heads if key.endswith("/head.json")):
            copy_checkpoints(transfer, head)
        for key in statements:
            copy_statement(transfer, key)
        for key, (kind, data, value) in reversed(snapshot.items()):
            copy_named_content(transfer, key, value)
            if transfer.record(key, data, kind.relate) and kind.place == layout.MODELS:
                transfer.done.models += 1
    return judged(transfer)


def judged(transfer: Transfer) -> Copied:
    """Return what was copied, or say what was not."""
    done, source, target = transfer.done, transfer.source.url, transfer.target.url
    if done.broken:
        raise CorruptArtifactError(
            "",
            f"{len(done.broken)} things of {source} are broken and were not copied: {', '.join(done.broken)[:600]}; "
            f"all else is in {target} ({done.runs} runs, {done.models} models).",
        )
    if done.conflicts:
        raise ConflictingCommitError(
            f"{target} has other records than {source} under {', '.join(done.conflicts)[:400]}, which stay; all else "
            "was copied: use an empty target, or delete those runs there."
        )
    return done


def read_snapshot(transfer: Transfer) -> Snapshot:
    """Read the records that name others, before those that they name."""
    found: Snapshot = {}
    for kind in KINDS:
        listed = kind.place.endswith("/")
        for key in [stat.key for stat in transfer.source.list(kind.place)] if listed else [kind.place]:
            data, value = read_whole(transfer.source, key, kind.parse)
            if value is not None and data is not None:
                found[key] = (kind, data, value)
            elif data is not None:
                transfer.note_broken(key, "the record is not whole")
    return found


def refuse_other_history(transfer: Transfer, snapshot: Snapshot) -> None:
    """Refuse before anything is written.

    Raises:
        ConfigError: A model, endpoint or list of comparisons of the target is no earlier state of the source's.
    """
    other = [key for key, (kind, data, _) in snapshot.items() if transfer.conflicts_with(key, data, kind.relate)]
    if other:
        raise ConfigError(
            f"{transfer.target.url} holds {', '.join(other)[:300]} with a history that is not an earlier state of "
            f"that in {transfer.source.url}, and nothing was copied: use an empty target."
        )


def copy_uploads(transfer: Transfer) -> int:
    """Copy users' own files, whose keys state their content; returns how many there are."""
    stats = [stat for stat in transfer.source.list(layout.UPLOADS) if is_upload(stat.key)]

    def copy(stat: Stat) -> None:
        if not transfer.content(stat.key, stat.key.split("/")[1], stat.size, reached=True):
            transfer.note_broken(stat.key, "its bytes are not those that were uploaded")

    in_parallel(copy, stats)
    return len(stats)


def is_upload(key: str) -> bool:
    """Whether a key names an upload: `uploads/<digest>/<name>`."""
    parts = key.split("/")
    return len(parts) == 3 and len(parts[1]) == 64 and HEX.issuperset(parts[1])


def copy_checkpoints(transfer: Transfer, head_key: str) -> None:
    """Copy the checkpoints of one train key; `train` may replace them meanwhile, so the head is read again then."""
    key = head_key.split("/")[1]
    for _ in range(HEAD_READS):
        data, head = read_whole(transfer.source, head_key, parse_head)
        if data is None or head is None:
            return  # gone, or it counts as absent for `train` too
        files = sorted({(file.sha256, file.size) for checkpoint in head for file in checkpoint.files})
        names = [(layout.checkpoint_file(key, digest), digest, size) for digest, size in files]
        if all(in_parallel(lambda item: transfer.content(*item, reached=True), names)):
            transfer.record(head_key, data, relate_heads)
            return
    transfer.note_broken(head_key, "files of its checkpoints are missing or broken")


def copy_statement(transfer: Transfer, key: str) -> None:
    """Copy a signed statement; signatures of equal content are joined."""
    data, envelope = read_whole(transfer.source, key, parse_statement)
    if data is None:
        return
    if envelope is None:
        transfer.note_broken(key, "the record is not whole")
        return
    _, model, name = key.split("/")
    lay = transfer.target.stat(key)
    stands = put_statement(transfer.target, model, name.removesuffix(".json"), envelope)
    if (stands["payloadType"], stands["payload"]) != (envelope["payloadType"], envelope["payload"]):
        transfer.note_conflict(key)
    elif lay is None:
        transfer.count_record()


def copy_named_content(transfer: Transfer, key: str, value: Any) -> None:
    """Copy what a model's versions or an endpoint name. What is lost is noted: the record is required."""
    reached = transfer.target.stat(key) is not None
    targets = [target for target in (getattr(value, "desired", None), getattr(value, "observed", None)) if target]
    lost = [digest for target in targets for digest in transfer.blobs(target.files, reached=reached)]
    for version in getattr(value, "versions", ()):
        lost += copy_version(transfer, version, reached=reached)
    if lost:
        shown = ", ".join(sorted({digest[:12] for digest in lost})[:3])
        transfer.note_broken(key, f"it was copied, but blobs {shown} are missing or broken")


def copy_version(transfer: Transfer, version: Version, *, reached: bool) -> list[str]:
    """Copy a version's document and the files that it names; returns the digests that the source cannot give."""
    if not transfer.content(layout.blob(version.document), version.document, None, reached=reached):
        return [version.document]
    try:
        document = read_document(transfer.source, version)
    except KubetuneError:
        return [version.document]
    files = [file for name in document["files"] for file in files_of(document, name)]
    return transfer.blobs(files, reached=reached)
