"""Content by its digest, and folders as lists of files. Bytes are checked whenever they are read."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from kubetune import layout
from kubetune.errors import CorruptArtifactError, KubetuneError
from kubetune.storage.base import GRACE_S, AbsentError, Clock, Store, is_plain_name
from kubetune.storage.disk import chunks_of, disk_errors
from kubetune.storage.records import digest_of

TRANSFERS = 8
READS = 2  # a byte flipped on the way must not condemn a good blob
HEX = frozenset("0123456789abcdef")
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, order=True)
class File:
    """One file of an artifact.

    Attributes:
        path: Relative path with `/`, inside the artifact's folder.
        size: Bytes.
        sha256: Digest of its content, hex.
    """

    path: str
    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """As it stands in records."""
        return asdict(self)


def parse_files(values: Iterable[Mapping[str, Any]]) -> tuple[File, ...]:
    """Read a file list from a record.

    Raises:
        ValueError: A path leads out of its folder or stands there twice, or a size or digest is none.
    """
    files = tuple(File(path=value["path"], size=value["size"], sha256=value["sha256"]) for value in values)
    for file in files:
        if not all(is_plain_name(part) for part in file.path.split("/")):
            raise ValueError(f"path {file.path!r:.200} leads out of its folder")
        if not isinstance(file.size, int) or file.size < 0 or len(file.sha256) != 64 or not HEX.issuperset(file.sha256):
            raise ValueError(f"size or digest of {file.path!r:.200} is none")
    if len({file.path for file in files}) != len(files):
        raise ValueError("a path stands there twice")
    return files


def tree_digest(files: Iterable[File]) -> str:
    """Digest (hex) of a folder: over its sorted file list, so that equal folders have equal digests."""
    return digest_of([file.to_json() for file in sorted(files)])


def list_tree(folder: Path) -> tuple[File, ...]:
    """Return the sorted file list of a folder, digests computed. Empty folders do not count.

    Raises:
        KubetuneError: It holds a link, a device or a name that cannot be stored.
    """
    paths = sorted(tree_paths(folder), key=lambda path: path.relative_to(folder).as_posix())
    return tuple(in_parallel(lambda path: describe(path, path.relative_to(folder).as_posix()), paths))


def tree_paths(folder: Path) -> Iterator[Path]:
    """Yield the regular files below a folder; see `list_tree` for what is refused."""
    for path in folder.iterdir():
        if not is_plain_name(path.name):
            raise KubetuneError(f"{str(path)!r} cannot be stored: use a printable name without backslash.")
        if path.is_symlink():
            raise KubetuneError(f"{path} is a link and cannot be stored: write the file itself.")
        if path.is_dir():
            yield from tree_paths(path)
        elif path.is_file():
            yield path
        else:
            raise KubetuneError(f"{path} is neither file nor folder and cannot be stored.")


def describe(source: Path | bytes, name: str) -> File:
    """Size and digest of a file or of bytes."""
    sha256, size = hashlib.sha256(), 0
    for chunk in [source] if isinstance(source, bytes) else chunks_of(source):
        sha256.update(chunk)
        size += len(chunk)
    return File(name, size, sha256.hexdigest())


def put_blob(store: Store, source: Path | bytes, *, rewrite: bool = False, grace: float = GRACE_S) -> str:
    """Store content under its digest.

    It is not sent again where a blob of equal size lies, unless that one is older than half the grace time: `gc` may
    be about to take it, and putting it again makes it young.

    Args:
        store: Store.
        source: A file or bytes.
        rewrite: Send it whatever lies there, because what lies there is known to be broken.
        grace: Grace time of `gc` in seconds.

    Returns:
        SHA-256 of the content, hex.

    Raises:
        KubetuneError: The file changed while it was stored.
    """
    file = describe(source, "")
    put_described(store, source, file, partial(Clock, store), rewrite=rewrite, grace=grace)
    return file.sha256


def put_described(
    store: Store, source: Path | bytes, file: File, clock: Callable[[], Clock], *, rewrite: bool, grace: float
) -> None:
    """Store content whose size and digest are known; see `put_blob`. The clock is asked for where a blob lies."""
    key = layout.blob(file.sha256)
    lying = None if rewrite else store.stat(key)
    if lying is not None and lying.size == file.size and clock().latest() - lying.modified < grace / 2:
        return
    store.put(key, source)
    if describe(source, file.path) != file:
        what = source if isinstance(source, Path) else "content"
        raise KubetuneError(f"{what} changed while it was stored: a stage must be done with its outputs when it ends.")


def fetch_blob(store: Store, digest: str, target: Path) -> None:
    """Write the content with this digest to a new file, checked while it streams.

    Raises:
        CorruptArtifactError: The blob is missing or its bytes do not have the digest; nothing is left at `target`.
    """
    fetch_file(store, layout.blob(digest), digest, target)


def put_tree(store: Store, folder: Path, *, rewrite: Collection[str] = (), grace: float = GRACE_S) -> tuple[File, ...]:
    """Store all files of a folder, several at a time.

    Args:
        store: Store.
        folder: Folder of an artifact.
        rewrite: Digests whose stored blobs are known to be broken.
        grace: Grace time of `gc` in seconds.

    Returns:
        The sorted file list.
    """
    clock = cache(partial(Clock, store))

    def put(path: Path) -> File:
        file = describe(path, path.relative_to(folder).as_posix())
        put_described(store, path, file, clock, rewrite=file.sha256 in rewrite, grace=grace)
        return file

    return tuple(sorted(in_parallel(put, list(tree_paths(folder)))))


def fetch_tree(store: Store, files: Sequence[File], target: Path) -> None:
    """Write all files of a list below a folder, several at a time, each digest checked.

    Raises:
        CorruptArtifactError: A blob is missing or broken; names the file and its digest.
        KubetuneError: The list would write outside the folder or through a link.
    """
    root = target.resolve()
    try:
        parse_files(file.to_json() for file in files)
    except ValueError as error:
        raise KubetuneError(f"This file list cannot be fetched: {error}.") from error
    for file in files:
        if (root / file.path).resolve() != root / file.path:
            raise KubetuneError(f"{target / file.path} leads through a link; nothing is written there.")
    in_parallel(lambda file: fetch_file(store, layout.blob(file.sha256), file.sha256, root / file.path), files)


def fetch_file(store: Store, key: str, digest: str, target: Path) -> None:
    """Write what lies under a key to a new file if it has this digest; see `fetch_blob`."""
    reason = ""
    for _ in range(READS):
        try:
            found = copy_out(store, key, target)
        except AbsentError:
            reason = "is missing"
            continue
        if found == digest:
            return
        reason = f"has the digest {found}"
        target.unlink()
    raise CorruptArtifactError(
        digest,
        f"{target.name} cannot be read from {store.url}: {key} {reason}; the stage that made it has to run again.",
    )


def copy_out(store: Store, key: str, target: Path) -> str:
    """Write what lies under a key to a new file; returns its digest. Nothing is left where it fails."""
    sha256 = hashlib.sha256()
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(target, NEW_FILE, 0o644), "wb") as file:
            try:
                for chunk in store.read(key):
                    sha256.update(chunk)
                    file.write(chunk)
                file.flush()
            except BaseException:
                target.unlink()
                raise
    return sha256.hexdigest()


def is_intact(store: Store, key: str, digest: str) -> bool:
    """Whether what lies under a key has this digest; reads it all and writes nothing."""
    for _ in range(READS):
        sha256 = hashlib.sha256()
        try:
            for chunk in store.read(key):
                sha256.update(chunk)
        except AbsentError:
            return False
        if sha256.hexdigest() == digest:
            return True
    return False


def missing_blobs(store: Store, files: Iterable[File]) -> frozenset[str]:
    """Digests of those files whose blob is absent or has another size. Cheap: reads no content."""
    wanted = sorted({(file.sha256, file.size) for file in files})

    def is_missing(item: tuple[str, int]) -> bool:
        lying = store.stat(layout.blob(item[0]))
        return lying is None or lying.size != item[1]

    return frozenset(item[0] for item, missing in zip(wanted, in_parallel(is_missing, wanted), strict=True) if missing)


def broken_blobs(store: Store, files: Iterable[File]) -> frozenset[str]:
    """Digests of those files whose blob is absent or holds other bytes. Reads everything."""
    wanted = sorted({file.sha256 for file in files})
    intact = in_parallel(lambda digest: is_intact(store, layout.blob(digest), digest), wanted)
    return frozenset(digest for digest, good in zip(wanted, intact, strict=True) if not good)


def in_parallel(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do the work for all items, several at a time, results in order; the first failure stops what has not begun."""
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(max_workers=min(TRANSFERS, len(items)), thread_name_prefix="transfer") as pool:
        futures = [pool.submit(work, item) for item in items]
        done, waiting = wait(futures, return_when=FIRST_EXCEPTION)
        if waiting:
            for future in waiting:
                future.cancel()
        for future in futures:
            if not future.cancelled() and future in done and (error := future.exception()) is not None:
                raise error
        return [future.result() for future in futures]
