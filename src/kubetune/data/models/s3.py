"""Model source `s3`: a prefix of the configured S3 server that holds a folder in the layout of `save_pretrained`."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError

from kubetune.data.bounds import Download, SourceBounds, bounds_of, check_allowed, check_size
from kubetune.data.models.files import PretrainedCheckpoint, is_read, needed_names, shard_names
from kubetune.data.models.freeze import freeze_checkpoint
from kubetune.data.models.licence import card_licence
from kubetune.data.s3_client import s3_client
from kubetune.errors import ConfigError, DataError, TemporaryError
from kubetune.redaction import quoted

REPEATABLE = frozenset({"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown"})


@dataclass(frozen=True)
class Place:
    """A prefix of a bucket, and the client that reaches it."""

    client: Minio
    url: str
    bucket: str
    prefix: str
    bounds: SourceBounds


@dataclass(frozen=True)
class Object:
    """One object at one moment; `version` is None in a bucket without versions."""

    key: str
    etag: str
    version: str | None
    size: int


def identify(source: Any, platform: Mapping[str, Any]) -> str | None:
    """Return the digest over names, versions, ETags and sizes of the checkpoint's objects.

    Raises:
        ConfigError: Server, bucket or prefix cannot be used as asked.
        DataError: There is no checkpoint below the prefix.
        TemporaryError: The server does not answer.
    """
    return _digest(_objects(_place(source, platform)))


def locate(source: Any, platform: Mapping[str, Any], scratch: Path, *, weights: bool = True) -> PretrainedCheckpoint:
    """Download what is needed to `scratch`, each object as it was when listed.

    Raises:
        ConfigError: Server, bucket or prefix cannot be used as asked.
        DataError: There is no checkpoint below the prefix.
        TemporaryError: The server does not answer, or an object changed meanwhile.
    """
    place = _place(source, platform)
    objects = _objects(place)
    folder = scratch / "s3"
    folder.mkdir()
    names = needed_names(objects, weights=weights)
    for name in names:
        _download(place, objects[name], folder / name)
    for index in (name for name in names if name.endswith(".index.json")):
        for shard in shard_names(folder / index):
            if shard not in objects:
                raise DataError("weights", f"{index} names {shard}, which is not below {place.url}: upload it")
            _download(place, objects[shard], folder / shard)
    return PretrainedCheckpoint(folder, source.kind, _digest(objects), card_licence(folder))


def fetch(
    source: Any, platform: Mapping[str, Any], tokenizer_dir: Path, weights_dir: Path, scratch: Path
) -> dict[str, Any]:
    """See `locate` and `freeze`."""
    return freeze_checkpoint(locate(source, platform, scratch), tokenizer_dir, weights_dir, scratch)


def _place(source: Any, platform: Mapping[str, Any]) -> Place:
    check_allowed("s3", f"model.source.url {quoted(source.url, 200)}", platform)
    client = s3_client(platform.get("s3"), f"model.source.url {source.url!r:.200}")
    bucket, _, prefix = source.url.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    return Place(client, source.url, bucket, f"{prefix}/" if prefix else "", bounds_of(platform))


def _objects(place: Place) -> dict[str, Object]:
    """Return the objects directly below the prefix that a checkpoint may consist of, by their name there."""
    found = {}
    with _s3_errors(place):
        for item in place.client.list_objects(place.bucket, prefix=place.prefix):
            name = item.object_name.removeprefix(place.prefix)
            if item.is_dir or not is_read(name):
                continue
            stat = place.client.stat_object(place.bucket, item.object_name)
            found[name] = Object(item.object_name, str(stat.etag), stat.version_id, int(stat.size or 0))
    if not found:
        raise ConfigError(f"Nothing of a model lies directly below {place.url}: give the prefix of config.json.")
    return found


def _digest(objects: Mapping[str, Object]) -> str:
    lines = [f"{name}\0{item.version}\0{item.etag}\0{item.size}\n" for name, item in sorted(objects.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _download(place: Place, item: Object, target: Path) -> None:
    """Write one object's bytes to `target`; exactly the version that was listed."""
    check_size(item.size, f"{place.url}/{target.name}", place.bounds)
    with _s3_errors(place):
        response = place.client.get_object(
            place.bucket, item.key, version_id=item.version, request_headers={"If-Match": f'"{item.etag}"'}
        )
        try:
            Download(f"{place.url}/{target.name}", place.bounds).write(response, target)
        finally:
            response.close()
            response.release_conn()
    if target.stat().st_size != item.size:
        raise TemporaryError(
            f"{item.key} came with {target.stat().st_size} of {item.size} bytes: run the same command again."
        )


@contextmanager
def _s3_errors(place: Place) -> Iterator[None]:
    """Raise what the client raises as our errors."""
    try:
        yield
    except S3Error as error:
        if error.code == "PreconditionFailed":
            raise TemporaryError(
                f"An object below {place.url} changed meanwhile: run the same command again."
            ) from None
        if error.code in REPEATABLE:
            raise TemporaryError(
                f"The server of {place.url} answers {error.code}: run the same command again."
            ) from None
        raise ConfigError(
            f"{place.url} cannot be read ({error.code}): check bucket, prefix, keys and policy."
        ) from None
    except urllib3.exceptions.HTTPError as error:
        if "certificate" in str(error).lower():
            raise ConfigError(
                f"The certificate of the server of {place.url} cannot be trusted: set KUBETUNE_CA_BUNDLE to the PEM "
                "file of the authority that signed it."
            ) from None
        raise TemporaryError(
            f"The server of {place.url} does not answer ({type(error).__name__}): run the same command again."
        ) from None
    except (ServerError, InvalidResponseError) as error:
        raise TemporaryError(
            f"The server of {place.url} does not answer as S3 does ({str(error)[:120]}): check KUBETUNE_S3_ENDPOINT, "
            "then run the same command again."
        ) from None
