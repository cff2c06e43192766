"""A store in a folder: no server, safe for many processes at once, durable after a power cut.

An object appears by a link or a rename of a finished, synced file, so no reader meets half of one. Writers that
replace or delete take a lock of the operating system, which dies with its process.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from kubetune.storage.base import CHUNK, AbsentError, Stat, Stored, check_key
from kubetune.storage.disk import chunks_of, disk_errors, explained, make_folder, sync_folder

UNFINISHED = ".unfinished"
LOCKS = ".locks"


class LocalStore:
    """Objects as files below a folder, which is made by the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        if self.root.exists() and not self.root.is_dir():
            raise explained(NotADirectoryError(20, "it is a file"), self.root)

    @property
    def url(self) -> str:
        """Address of the store."""
        return self.root.as_uri()

    def create(self, key: str, data: bytes) -> bool:
        """Write a small object if nothing lies under the key; see `Store.create`."""
        path = self._path(key)
        with disk_errors(self.root), self._finished(data) as file:
            make_folder(path.parent)
            try:
                path.hardlink_to(file)
            except FileExistsError:
                return False
            sync_folder(path.parent)
        return True

    def swap(self, key: str, data: bytes, etag: str | None) -> str | None:
        """Replace a small object if it is still the one that `etag` names; see `Store.swap`."""
        fresh = hashlib.sha256(data).hexdigest()
        if etag is None:
            return fresh if self.create(key, data) else None
        path = self._path(key)
        with disk_errors(self.root), self._locked(key):
            current = self.get(key)
            if current is None or current.etag != etag:
                return None
            with self._finished(data) as file:
                file.rename(path)
            sync_folder(path.parent)
        return fresh

    def get(self, key: str) -> Stored | None:
        """Read a small object; None if nothing lies there."""
        path = self._path(key)
        with disk_errors(path):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
        return Stored(data, hashlib.sha256(data).hexdigest())

    def put(self, key: str, source: Path | bytes) -> None:
        """Write an object whatever lies there; see `Store.put`."""
        path = self._path(key)
        with disk_errors(self.root), self._finished(source) as file:
            make_folder(path.parent)
            with self._locked(key):
                file.rename(path)
            sync_folder(path.parent)

    def read(self, key: str) -> Iterator[bytes]:
        """Stream an object in chunks; AbsentError if nothing lies there."""
        path = self._path(key)
        with disk_errors(path):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                raise AbsentError(key) from None
            with file:
                while chunk := file.read(CHUNK):
                    yield chunk

    def stat(self, key: str) -> Stat | None:
        """Size and age of an object; None if nothing lies there."""
        path = self._path(key)
        with disk_errors(path):
            try:
                found = path.stat()
            except FileNotFoundError:
                return None
        return Stat(key, found.st_size, found.st_mtime)

    def list(self, prefix: str) -> Iterator[Stat]:
        """All objects whose key starts with `prefix`, which ends in `/`."""
        start = self._path(prefix.removesuffix("/")) if prefix else self.root
        for folder, folders, files in os.walk(start):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                key = Path(folder, name).relative_to(self.root).as_posix()
                if (found := self.stat(key)) is not None:
                    yield found

    def delete(self, key: str, unless_newer_than: float | None = None) -> bool:
        """Remove an object unless it is newer than a time; see `Store.delete`."""
        path = self._path(key)
        with disk_errors(path), self._locked(key):
            found = self.stat(key)
            if found is None or (unless_newer_than is not None and found.modified > unless_newer_than):
                return False
            path.unlink()
        return True

    def now(self) -> float:
        """By the file system, whose server has a clock of its own where it is mounted; see `Store.now`."""
        if not self.root.is_dir():
            return time.time()  # nothing is there that could have an age
        with disk_errors(self.root), self._finished(b"") as file:
            return file.stat().st_mtime

    def sweep_unfinished(self, before: float) -> int:
        """Remove what writers left that died before this time."""
        swept = 0
        for path in (self.root / UNFINISHED).glob("*"):
            with disk_errors(path):
                try:
                    if path.stat().st_mtime < before:
                        path.unlink()
                        swept += 1
                except FileNotFoundError:
                    continue  # its writer finished meanwhile
        return swept

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    @contextmanager
    def _finished(self, source: Path | bytes) -> Iterator[Path]:
        """A complete, synced, read-only file with these bytes, gone after the block unless it was renamed."""
        temporary = self.root / UNFINISHED / uuid4().hex
        make_folder(temporary.parent)
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb") as file:
                for chunk in [source] if isinstance(source, bytes) else chunks_of(source):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            # A slow copy must count from its end, or gc could take a blob that has just arrived; without a time of
            # ours, since ages are by the file system's clock.
            os.utime(temporary)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the lock of the key's shard; 256 lock files in all, never removed."""
        path = self.root / LOCKS / hashlib.sha256(key.encode()).hexdigest()[:2]
        make_folder(path.parent)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
