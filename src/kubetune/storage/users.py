"""Users and policies of a MinIO, bundled or not: made, corrected and rotated by the one process with its root keys."""

import json
import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubetune.errors import ConfigError, StoreUnavailableError
from kubetune.storage.base import S3Settings

ACCESS_KEY, SECRET_KEY = "kubetune_s3_access_key", "kubetune_s3_secret_key"  # names of files, as the settings read them
SHORTEST_SECRET = 8  # MinIO's own rule
POLICY = "kubetune-{bucket}-{user}"
OLD_VERSIONS_DAYS = 30
"""How long the store keeps what was overwritten or deleted."""


@dataclass(frozen=True)
class Keys:
    """Credentials of one user."""

    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True)
class Logs:
    """A bucket of task logs.

    Attributes:
        bucket: Its name.
        days: Age at which the server removes them.
    """

    bucket: str
    days: int


def read_keys(folder: Path, names: Mapping[str, Any], optional: Collection[str] = ()) -> dict[str, Keys]:
    """Read the keys of users from a folder for each, two files in it.

    Args:
        folder: Folder of folders.
        names: Users that there are; a folder of another name is refused.
        optional: Those of them that may be absent.

    Raises:
        ConfigError: A folder is missing or unknown, a file is missing or empty, or two users share an access key.
    """
    entries = folder.iterdir() if folder.is_dir() else iter(())
    found = {
        path.name for path in entries if path.is_dir() and not path.name.startswith(".")
    }  # `..data`: a mount's own
    needed = [name for name in names if name not in optional]
    if not set(needed) <= found <= set(names):
        beside = f" ({' and '.join(sorted(optional))} may be absent)" if optional else ""
        raise ConfigError(
            f"{folder} holds folders for {', '.join(sorted(found)) or 'nobody'}: exactly {', '.join(names)} are "
            f"needed{beside}, each with the files {ACCESS_KEY} and {SECRET_KEY}."
        )
    present = [user for user in names if user in found]
    keys = {user: Keys(_word(folder / user / ACCESS_KEY), _word(folder / user / SECRET_KEY)) for user in present}
    by_access_key: dict[str, str] = {}
    for user, pair in keys.items():
        other = by_access_key.setdefault(pair.access_key, user)
        if other != user:
            raise ConfigError(
                f"Users {other} and {user} share an access key: give each its own, or neither is limited."
            )
        if len(pair.secret_key) < SHORTEST_SECRET:
            raise ConfigError(f"The secret key of user {user} is too short: use at least {SHORTEST_SECRET} characters.")
    return keys


def make_keys(folder: Path, users: Iterable[str], prefix: str) -> list[str]:
    """Draw keys for users that have none in a folder; what is there stays.

    Args:
        folder: Folder of folders, as `read_keys` wants it; made for its owner alone.
        users: Users to see to.
        prefix: Beginning of the access keys, so that two stores on one server do not share them.

    Returns:
        The users for which keys were drawn.

    Raises:
        ConfigError: The folder cannot be written.
    """
    drawn = []
    try:
        for user in users:
            place = folder / user
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            # 40 characters: as many as every S3 server takes.
            wanted = {SECRET_KEY: secrets.token_urlsafe(30), ACCESS_KEY: f"{prefix}-{user}"}
            for name, text in wanted.items():
                if not (place / name).exists():
                    with os.fdopen(os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                        file.write(text)
                    drawn.append(user)
    except OSError as error:
        raise ConfigError(f"{folder} cannot hold the keys ({error.strerror}): name a folder of yours.") from error
    return list(dict.fromkeys(drawn))


def secrets_of(keys: Mapping[str, Keys], release: str) -> list[dict[str, Any]]:
    """Return the keys of users as the Kubernetes Secrets that the chart's `objectStore.users` names.

    Args:
        keys: Keys by user.
        release: Name of the Helm release.
    """
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"{release}-store-{user}"},
            "type": "Opaque",
            "stringData": {ACCESS_KEY: pair.access_key, SECRET_KEY: pair.secret_key},
        }
        for user, pair in keys.items()
    ]


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read, in place of a former one.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}): name another place.") from error


def _word(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.parent.name}/{path.name} cannot be read: mount the user's Secret there.") from error
    if not text:
        raise ConfigError(f"{path.parent.name}/{path.name} is empty: put the user's key there.")
    return text


def bucket_of(url: str) -> tuple[str, str]:
    """Return bucket and key prefix (empty, or ending in `/`) of a store's address.

    Raises:
        ConfigError: It is no `s3://bucket[/prefix]`.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(
            "Only a store in a bucket has users: set KUBETUNE_STORE to s3://bucket or s3://bucket/prefix."
        )
    prefix = parts.path.strip("/")
    return parts.netloc, f"{prefix}/" if prefix else ""


def bootstrap_users(
    settings: S3Settings | None,
    bucket: str,
    keys: Mapping[str, Keys],
    policies: Mapping[str, Mapping[str, Any]],
    logs: Logs | None = None,
) -> Iterator[str]:
    """Make the bucket, its versions and its users what they should be; a second time changes nothing.

    Args:
        settings: Server and its root keys.
        bucket: Bucket of the store.
        keys: Keys of each user; another secret than before takes the place of the former one.
        policies: Policy document of each user; one without keys loses those that it had.
        logs: Where task logs go; None: nowhere. A bucket that was there before stays.

    Yields:
        One line a step that was done.

    Raises:
        ConfigError: The server refuses the root keys, or is no MinIO.
        StoreUnavailableError: It does not answer.
    """
    from minio import Minio, MinioAdmin
    from minio.commonconfig import ENABLED
    from minio.credentials.providers import StaticProvider
    from minio.versioningconfig import VersioningConfig

    from kubetune.storage.s3_http import RetryingPool

    if settings is None:
        raise ConfigError(
            "The store's root keys are missing: set KUBETUNE_S3_ENDPOINT, KUBETUNE_S3_ACCESS_KEY and "
            "KUBETUNE_S3_SECRET_KEY."
        )
    server, pool = urlsplit(settings.endpoint), RetryingPool(settings)
    reached: dict[str, Any] = {"secure": server.scheme == "https", "region": settings.region, "http_client": pool}
    client = Minio(server.netloc, access_key=settings.access_key, secret_key=settings.secret_key, **reached)
    root = StaticProvider(settings.access_key, settings.secret_key)
    admin = MinioAdmin(endpoint=server.netloc, credentials=root, **reached)
    with _translated(settings):
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
            yield f"bucket {bucket} was created"
        client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
        client.set_bucket_lifecycle(bucket, _lifecycle())
        yield f"bucket {bucket} keeps versions for {OLD_VERSIONS_DAYS} days"
        if logs is not None:
            if not client.bucket_exists(logs.bucket):
                client.make_bucket(logs.bucket)
                yield f"bucket {logs.bucket} was created"
            client.set_bucket_lifecycle(logs.bucket, _removed_after(logs.days))
            yield f"bucket {logs.bucket} keeps task logs for {logs.days} days"
        for user, pair in keys.items():
            name = POLICY.format(bucket=bucket, user=user)
            admin.policy_add(name, policy=dict(policies[user]))
            admin.user_add(pair.access_key, pair.secret_key)
            admin.policy_set(name, user=pair.access_key)
            for former in _users_of(admin, name) - {pair.access_key}:
                admin.user_remove(former)
                yield f"user {user}: a former access key was removed"
            yield f"user {user} is ready"
        for user in policies.keys() - keys.keys():
            for former in _users_of(admin, POLICY.format(bucket=bucket, user=user)):
                admin.user_remove(former)
                yield f"user {user} is not wanted any more and was removed"


def _lifecycle() -> Any:
    """Old versions and the markers of deleted objects go by themselves; nobody else removes them."""
    from minio.commonconfig import ENABLED, Filter
    from minio.lifecycleconfig import (
        Expiration,
        LifecycleConfig,
        NoncurrentVersionExpiration,
        Rule,
    )

    return LifecycleConfig(
        [
            Rule(
                ENABLED,
                rule_filter=Filter(prefix=""),
                rule_id="kubetune-old-versions",
                noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=OLD_VERSIONS_DAYS),
                expiration=Expiration(expired_object_delete_marker=True),
            )
        ]
    )


def _removed_after(days: int) -> Any:
    """Logs go by their age; whoever writes them has no right to remove one."""
    from minio.commonconfig import ENABLED, Filter
    from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule

    rule = Rule(ENABLED, rule_filter=Filter(prefix=""), rule_id="kubetune-task-logs", expiration=Expiration(days=days))
    return LifecycleConfig([rule])


def _users_of(admin: Any, policy: str) -> set[str]:
    """Access keys that a policy is attached to."""
    found = json.loads(admin.get_policy_entities([], [], [policy]))
    mappings = found.get("policyMappings") or []
    return {user for item in mappings for user in item.get("users") or []}


@contextmanager
def _translated(settings: S3Settings) -> Iterator[None]:
    """Turn the client's errors into ours."""
    from minio.error import MinioAdminException, MinioException
    from urllib3.exceptions import HTTPError

    from kubetune.storage.s3_http import raise_if_permanent

    where = f"Store {settings.endpoint}"
    try:
        yield
    except MinioAdminException as error:
        if str(error._code).startswith("5") and str(error._code) != "501":  # 501: no MinIO
            raise StoreUnavailableError(
                f"{where} failed (HTTP status {error._code}): run the same command again."
            ) from error
        raise ConfigError(
            f"{where} refuses to manage users (HTTP status {error._code}): give the root keys of a MinIO as "
            "KUBETUNE_S3_ACCESS_KEY and KUBETUNE_S3_SECRET_KEY. Users of another server are made with its own tools: "
            "`kubetune store policies --to FOLDER` writes what each may do."
        ) from error
    except MinioException as error:
        raise ConfigError(
            f"{where} refuses ({str(error)[:200]}): check the root keys and the bucket's name."
        ) from error
    except HTTPError as error:
        raise_if_permanent(error, settings.endpoint)
        raise StoreUnavailableError(
            f"{where} broke off ({type(error).__name__}): run the same command again."
        ) from error
