"""Objects of the configured S3 server as files: named by version or etag, downloaded at exactly that."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from kubetune.data.bounds import Download, bounds_of, check_size
from kubetune.data.s3_client import s3_client
from kubetune.data.sources.base import check_file_name
from kubetune.errors import ConfigError, DataError, TemporaryError

ABSENT = {"NoSuchKey", "NoSuchBucket", "NoSuchVersion"}
FORBIDDEN = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"}


def identity(address: str, platform: Mapping[str, Any]) -> list[str]:
    """Return the object's name and its version, or its etag where the bucket keeps no versions.

    Raises:
        DataError: There is no such object.
        ConfigError: No server is configured, or it refuses the credentials.
        TemporaryError: It does not answer.
    """
    bucket, key = _split(address)
    with _errors(address):
        found = s3_client(platform.get("s3"), "An s3:// source").stat_object(bucket, key)
    version = found.version_id if found.version_id not in {None, "null"} else None
    return [Path(key).name, version or f"etag:{found.etag}"]


def download_object(address: str, platform: Mapping[str, Any], folder: Path) -> Path:
    """Write the object below a folder and return its path; raises as `identity` does."""
    bucket, key = _split(address)
    path, bounds = folder / Path(key).name, bounds_of(platform)
    with _errors(address):
        client = s3_client(platform.get("s3"), "An s3:// source")
        found = client.stat_object(bucket, key)
        check_size(int(found.size or 0), address, bounds)
        response = client.get_object(
            bucket, key, version_id=found.version_id, request_headers={"If-Match": f'"{found.etag}"'}
        )
        try:
            Download(address, bounds).write(response, path)
        finally:
            response.close()
            response.release_conn()
    if path.stat().st_size != found.size:
        raise TemporaryError(f"{address} was not delivered whole: run the same command again.")
    return path


def _split(address: str) -> tuple[str, str]:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not bucket or not key or key.endswith("/"):
        raise ConfigError(f"{address:.200} names no object: allowed is s3://bucket/key, one object each.")
    check_file_name(Path(key).name, address)
    return bucket, key


@contextmanager
def _errors(address: str) -> Iterator[None]:
    from minio.error import MinioException, S3Error

    try:
        yield
    except S3Error as error:
        if error.code in ABSENT:
            raise DataError("missing-file", f"{address} does not exist: name an object of the server.") from None
        if error.code in FORBIDDEN:
            raise ConfigError(
                f"{address} may not be read ({error.code}): check KUBETUNE_S3_ACCESS_KEY, KUBETUNE_S3_SECRET_KEY and "
                "what they may read."
            ) from None
        if error.code == "PreconditionFailed":
            raise TemporaryError(f"{address} was changed while it was read: run the same command again.") from None
        raise TemporaryError(f"{address}: the S3 server answered {error.code}; run the same command again.") from None
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise TemporaryError(
            f"{address} could not be had from the S3 server ({type(error).__name__}): run the same command again when "
            "it answers."
        ) from None
