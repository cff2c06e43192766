"""Wrong keys on the real server: each command says so in one sentence, with 78, and does not ask again and again."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from kubetune.storage.s3_http import RetryingPool
from s3_server import S3Server

if "KUBETUNE_TEST_S3" not in os.environ:
    pytest.skip("needs KUBETUNE_TEST_S3, a real MinIO: no other server manages users", allow_module_level=True)

pytestmark = pytest.mark.s3


@dataclass(frozen=True)
class Door:
    """What a person may have typed in.

    Attributes:
        access_key: Access key.
        secret_key: Secret key.
        bucket: Bucket.
        token: Session token; empty: none.
    """

    access_key: str
    secret_key: str
    bucket: str
    token: str = ""


@pytest.fixture(scope="module")
def good(real_server: S3Server) -> Door:
    return Door(real_server.access_key, real_server.secret_key, real_server.bucket)


@pytest.fixture(scope="module")
def users(real_server: S3Server) -> Iterator[tuple[str, str]]:
    """A user without a policy, and one that was disabled."""
    from minio import MinioAdmin
    from minio.credentials import StaticProvider

    root = StaticProvider(real_server.access_key, real_server.secret_key)
    admin = MinioAdmin(endpoint=real_server.address, credentials=root, secure=False, region="us-east-1")
    names = (f"bare-{uuid4().hex[:8]}", f"disabled-{uuid4().hex[:8]}")
    for name in names:
        admin.user_add(name, "secret-of-user")
    admin.policy_set("readwrite", user=names[1])
    admin.user_disable(names[1])
    yield names
    for name in names:
        admin.user_remove(name)


WRONG: dict[str, tuple[Callable[[Door, tuple[str, str]], Door], str]] = {
    "another secret": (lambda good, _: replace(good, secret_key="not-the-secret"), "SignatureDoesNotMatch"),
    "a key that nobody has": (lambda good, _: replace(good, access_key="nobody"), "InvalidAccessKeyId"),
    "a user without a policy": (
        lambda good, names: replace(good, access_key=names[0], secret_key="secret-of-user"), "AccessDenied",
    ),
    "a user that was disabled": (
        lambda good, names: replace(good, access_key=names[1], secret_key="secret-of-user"), "InvalidAccessKeyId",
    ),
    "a token that nobody signed": (lambda good, _: replace(good, token="no.such.token"), "InvalidTokenId"),
    "another bucket": (lambda good, _: replace(good, bucket="no-such-bucket"), "NoSuchBucket"),
}  # fmt: skip
COMMANDS = (
    ("runs",), ("show", "run-1"), ("models",), ("delete", "run-1"), ("gc",), ("lineage", "run-1"),
    ("store", "backup", "backup"), ("store", "restore", "backup"), ("stage", "ingest"),
)  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_key_is_said_at_once(
    good: Door, users: tuple[str, str], real_server: S3Server, fault: str, words: tuple[str, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from kubetune.cli.app import main

    change, code = WRONG[fault]
    door = change(good, users)
    monkeypatch.chdir(tmp_path)
    given = {
        "STORE": f"s3://{door.bucket}", "S3_ENDPOINT": f"http://{real_server.address}", "STATE_DIR": str(tmp_path),
        "S3_ACCESS_KEY": door.access_key, "S3_SECRET_KEY": door.secret_key,
        **({"S3_SESSION_TOKEN": door.token} if door.token else {}),
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(f"KUBETUNE_{name}", value)
    if words[0] == "stage":
        (tmp_path / "toy.yaml").write_text(
            yaml.safe_dump(
                {
                    "name": "toy",
                    "data": {"source": {"kind": "hub", "name": "a/b"}},
                    "model": {"source": {"kind": "hub", "name": "a/c"}},
                }
            )
        )
        words = (*words, "--run", "run-1", "--recipe", "toy.yaml")
    asked: list[str] = []
    once = RetryingPool.once
    monkeypatch.setattr(
        RetryingPool, "once", lambda pool, *args, **more: asked.append(args[1]) or once(pool, *args, **more)
    )
    monkeypatch.setattr(sys, "argv", ["kubetune", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert ended.value.code == 78, said
    assert code in said or "AccessDenied" in said, "a HEAD says no more than that"
    assert ("check access key, secret key and policy" in said) or "create the bucket" in said
    assert door.secret_key not in said and len(asked) <= 4, asked
