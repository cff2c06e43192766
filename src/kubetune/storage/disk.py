"""What a file system may answer, as the errors a person can act on, and writes that survive a power cut."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kubetune.errors import ConfigError, KubetuneError, StoreUnavailableError
from kubetune.storage.base import CHUNK

FULL = {errno.ENOSPC, errno.EDQUOT}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
NOT_A_FOLDER = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTSUP, errno.ELOOP}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors about `path` into ours."""
    try:
        yield
    except OSError as error:
        raise explained(error, path) from error


def explained(error: OSError, path: Path) -> KubetuneError:
    """Return our error for a system error about `path`: what happened, where, what to do."""
    if error.errno in FULL:
        return StoreUnavailableError(
            f"The disk that holds {path} is full; nothing half-written was left and what was committed is safe: "
            "free some space (`kubetune gc` removes what no run needs), then run the same command again."
        )
    reason = error.strerror or type(error).__name__
    if error.errno in FORBIDDEN:
        return ConfigError(f"{path} cannot be used ({reason}): give this user the right to it or choose another store.")
    if error.errno in NOT_A_FOLDER:
        return ConfigError(f"{path} is not a folder that files can be stored in ({reason}): choose another store.")
    return StoreUnavailableError(f"{path} cannot be used now ({reason}): look at the disk, then run the command again.")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Create a folder with its parents, each name durable."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def chunks_of(path: Path) -> Iterator[bytes]:
    """Stream a file."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
