"""A store in a bucket of MinIO or any S3, through the `minio` package. Imported by `open_store` when one is asked for.

Conditional writes go through a presigned PUT: the package's `put_object` has no argument for a condition and sends one
given as metadata under another name, so that the write happens whatever lies there.
"""

import base64
import hashlib
import io
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from kubetune.errors import ConfigError, KubetuneError, StoreUnavailableError
from kubetune.layout import PROBE
from kubetune.storage.base import CHUNK, AbsentError, S3Settings, Stat, Stored, check_key
from kubetune.storage.s3_http import Backoff, RetryingPool, raise_if_permanent

CODE = re.compile(rb"<Code>([A-Za-z0-9.]+)</Code>")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PRESIGNED_FOR = timedelta(seconds=60)
ABSENT = frozenset({"NoSuchKey", "NoSuchVersion"})
LOST = frozenset({404, 412})  # a server answers 404 or 412 to `If-Match` on a key where nothing lies
CONFLICT = frozenset({409})  # two conditional writes met: the server asks to try again
FULL = frozenset({"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded"})
NO_S3 = frozenset({"BadRequest", "MethodNotAllowed", "ResourceNotFound"})
WRONG_CREDENTIALS = "refuses our credentials: check access key, secret key and policy"
OTHER_REGION = "belongs to another region: set KUBETUNE_S3_REGION"
ADVICE = {
    "AccessDenied": WRONG_CREDENTIALS,
    "InvalidAccessKeyId": WRONG_CREDENTIALS,
    "SignatureDoesNotMatch": WRONG_CREDENTIALS,
    "InvalidToken": WRONG_CREDENTIALS,
    "InvalidTokenId": WRONG_CREDENTIALS,
    "ExpiredToken": WRONG_CREDENTIALS,
    "NoSuchBucket": "does not exist: create the bucket or name another one",
    "RequestTimeTooSkewed": "says that this machine's clock is wrong: set the clock",
    "AuthorizationHeaderMalformed": OTHER_REGION,
    "PermanentRedirect": OTHER_REGION,
    "Redirect": OTHER_REGION,
}


class S3Store:
    """Objects below a prefix of a bucket.

    Args:
        bucket: Name of an existing bucket.
        prefix: Key prefix without slashes at its ends; may be empty.
        settings: How the server is reached.
    """

    def __init__(self, bucket: str, prefix: str, settings: S3Settings) -> None:
        server = urlsplit(settings.endpoint)
        if server.scheme not in {"http", "https"} or not server.netloc or server.path not in {"", "/"}:
            raise ConfigError(f"{settings.endpoint!r} is no address of an S3 server: use http(s)://host[:port].")
        if not BUCKET.fullmatch(bucket):
            raise ConfigError(
                f"{bucket!r:.80} is no bucket name: use 3 to 63 lower-case letters, digits, dots, hyphens."
            )
        self.bucket = bucket
        self.prefix = f"{check_key(prefix)}/" if prefix else ""
        self.settings = settings
        self._pool = RetryingPool(settings)
        self._probed = threading.Lock()
        try:
            self._client = Minio(
                server.netloc,
                access_key=settings.access_key,
                secret_key=settings.secret_key,
                session_token=settings.session_token,
                secure=server.scheme == "https",
                region=settings.region,
                http_client=self._pool,
            )
        except ValueError as error:
            raise ConfigError(f"S3 server {settings.endpoint!r} cannot be used: {error}.") from error

    @property
    def url(self) -> str:
        """Address of the store, without credentials."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def probe(self) -> None:
        """Ask the server whether it honours both conditions.

        Raises:
            ConfigError: It ignores one: two writers could both believe that they had won.
        """
        self.create(PROBE, b"conditional writes\n")
        created_twice = self.create(PROBE, b"conditional writes, second\n")
        swapped_blindly = self.swap(PROBE, b"conditional writes, third\n", "0" * 32) is not None
        if created_twice or swapped_blindly:
            raise ConfigError(
                f"S3 server {self.settings.endpoint} ignores conditional writes (If-None-Match, If-Match), so two "
                "writers could overwrite each other: use a server that honours them, for example a current MinIO."
            )

    def create(self, key: str, data: bytes) -> bool:
        """Write a small object if nothing lies under the key; see `Store.create`."""
        return self._put_if(key, data, {"If-None-Match": "*"}) is not None

    def swap(self, key: str, data: bytes, etag: str | None) -> str | None:
        """Replace a small object if it is still the one that `etag` names; see `Store.swap`."""
        return self._put_if(key, data, {"If-None-Match": "*"} if etag is None else {"If-Match": f'"{etag}"'})

    def get(self, key: str) -> Stored | None:
        """Read a small object; None if nothing lies there."""
        backoff = Backoff(self.settings)
        with self._translated():
            while True:
                try:
                    response = self._client.get_object(self.bucket, self._name(key))
                    try:
                        return Stored(response.read(), response.headers["ETag"].strip('"'))
                    finally:
                        response.close()
                        response.release_conn()
                except S3Error as error:
                    if error.code in ABSENT:
                        return None
                    raise
                except HTTPError as error:  # cut while the body came
                    backoff.wait(type(error).__name__)

    def put(self, key: str, source: Path | bytes) -> None:
        """Write an object whatever lies there, a large one in parts; see `Store.put`."""
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        with self._translated():
            try:
                self._upload(key, source, size)
            except S3Error as error:
                if error.code != "NoSuchUpload":
                    raise
                # The reply to the completion was lost: the parts are an object by now. Bytes are checked by readers.
                found = self.stat(key)
                if found is None or found.size != size:
                    self._upload(key, source, size)

    def read(self, key: str) -> Iterator[bytes]:
        """Stream an object in chunks, going on where a cut connection stopped; AbsentError if nothing lies there."""
        offset = 0
        backoff = Backoff(self.settings)
        with self._translated():
            while True:
                try:
                    response = self._client.get_object(self.bucket, self._name(key), offset=offset)
                except S3Error as error:
                    if error.code in ABSENT:
                        raise AbsentError(key) from None
                    raise
                try:
                    for chunk in response.stream(CHUNK):
                        offset += len(chunk)
                        backoff.progress()
                        yield chunk
                    return
                except HTTPError as error:
                    backoff.wait(type(error).__name__)
                finally:
                    response.close()
                    response.release_conn()

    def stat(self, key: str) -> Stat | None:
        """Size and age of an object; None if nothing lies there."""
        return self._stat(key)[0]

    def list(self, prefix: str) -> Iterator[Stat]:
        """All objects whose key starts with `prefix`, which ends in `/`."""
        with self._translated():
            for item in self._client.list_objects(self.bucket, prefix=self.prefix + prefix, recursive=True):
                key = str(item.object_name).removeprefix(self.prefix)
                if item.last_modified is not None:
                    yield Stat(key, item.size or 0, item.last_modified.timestamp())

    def delete(self, key: str, unless_newer_than: float | None = None) -> bool:
        """Remove an object unless it is newer than a time; see `Store.delete`.

        In a versioned bucket exactly the version that was looked at goes, so one written meanwhile stays; then the
        ones before it, which would come to light otherwise. Without versions the moment between the look and the
        removal remains.
        """
        removed = False
        found, version = self._stat(key)
        limit = found.modified if found is not None and unless_newer_than is None else unless_newer_than or 0.0
        while found is not None and found.modified <= limit:
            with self._translated():
                self._client.remove_object(self.bucket, self._name(key), version_id=version)
            removed = True
            if version is None:
                break
            found, version = self._stat(key)
        return removed

    def now(self) -> float:
        """By what the server notes on an object that is written now; whole seconds. See `Store.now`."""
        self.put(PROBE, b"conditional writes\n")
        found = self.stat(PROBE)
        if found is None:
            raise StoreUnavailableError(f"{PROBE} was removed while it was looked at: run the same command again.")
        return found.modified

    def sweep_unfinished(self, before: float) -> int:
        """Nothing: unfinished uploads are invisible, and the server's own lifecycle rules end them."""
        return 0

    def _name(self, key: str) -> str:
        return self.prefix + check_key(key)

    def _stat(self, key: str) -> tuple[Stat | None, str | None]:
        with self._translated():
            try:
                found = self._client.stat_object(self.bucket, self._name(key))
            except S3Error as error:
                if error.code in ABSENT:
                    return None, None
                raise
        modified = found.last_modified.timestamp() if found.last_modified else 0.0
        return Stat(key, found.size or 0, modified), found.version_id

    def _upload(self, key: str, source: Path | bytes, size: int) -> None:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
            self._client.put_object(
                self.bucket, self._name(key), stream, size, part_size=self.settings.part_size, num_parallel_uploads=2
            )

    def _put_if(self, key: str, data: bytes, condition: Mapping[str, str]) -> str | None:
        """The one conditional write; returns the new etag, or None if the condition did not hold."""
        name = self._name(key)
        digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()

        def attempt() -> BaseHTTPResponse:
            # Signed anew for each try, since a try may come after the former signature ended.
            url = self._client.get_presigned_url("PUT", self.bucket, name, expires=PRESIGNED_FOR)
            return self._pool.once("PUT", url, body=data, headers={"Content-MD5": digest, **condition})

        with self._translated():
            response, tries = self._pool.persist(attempt, also_transient=CONFLICT)
        if response.status == 200:
            return response.headers["ETag"].strip('"')
        code = error_code_of(response)
        if response.status not in LOST or code == "NoSuchBucket":
            raise self._refusal(code, f"HTTP status {response.status}")
        if tries > 1 and (lying := self.get(key)) is not None and lying.data == data:
            return lying.etag  # an earlier try of this very call landed and its reply was lost
        return None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the client's errors into ours."""
        try:
            yield
        except S3Error as error:
            raise self._refusal(error.code or "", error.message or "") from error
        except (InvalidResponseError, ServerError) as error:
            raise self._no_s3_server() from error
        except HTTPError as error:
            raise_if_permanent(error, self.settings.endpoint)
            raise StoreUnavailableError(
                f"Store {self.settings.endpoint} broke off ({type(error).__name__}): run the same command again."
            ) from error

    def _no_s3_server(self) -> ConfigError:
        return ConfigError(
            f"{self.settings.endpoint} does not answer as an S3 server does: set KUBETUNE_S3_ENDPOINT to one."
        )

    def _refusal(self, code: str, message: str) -> KubetuneError:
        """Our error for the server's error code."""
        where = f"Store {self.url} at {self.settings.endpoint}"
        if code in FULL:
            return StoreUnavailableError(
                f"{where} is full ({code}); what was committed is safe: free some space (`kubetune gc`), then run the "
                "same command again."
            )
        if code in NO_S3:
            return self._no_s3_server()
        if code in ADVICE:
            return ConfigError(f"{where} {ADVICE[code]} ({code}).")
        return KubetuneError(f"{where} answered {code or 'an error without a code'} ({message:.200}).")


def error_code_of(response: BaseHTTPResponse) -> str:
    """The S3 error code in an answer; empty if there is none."""
    found = CODE.search(response.data)
    return found[1].decode() if found else ""
