"""A model below a prefix of an S3 server in the test process."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from minio import Minio
from minio.commonconfig import ENABLED
from minio.versioningconfig import VersioningConfig
from pydantic import ValidationError

from data import model_files
from data.model_files import fetch
from kubetune.config.model_sources import S3Model, ScratchModel
from kubetune.data.models import identify
from kubetune.errors import ConfigError, DataError, TemporaryError
from kubetune.storage.base import S3Settings
from s3_server import running_moto


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running_moto() as address:
        yield address


class Bucket:
    """A bucket, and how it is filled."""

    def __init__(self, address: str, *, versioned: bool = False) -> None:
        self.client = Minio(address, "someone", "something", secure=False, region="us-east-1")
        self.name = uuid4().hex
        self.client.make_bucket(self.name)
        if versioned:
            self.client.set_bucket_versioning(self.name, VersioningConfig(ENABLED))
        self.platform = {"s3": S3Settings(f"http://{address}", "someone", "something")}

    def upload(self, folder: Path, prefix: str = "models/tiny") -> S3Model:
        for path in folder.iterdir():
            self.client.fput_object(self.name, f"{prefix}/{path.name}".lstrip("/"), str(path))
        return S3Model(url=f"s3://{self.name}/{prefix}")


@pytest.fixture
def bucket(address: str) -> Bucket:
    return Bucket(address)


@pytest.mark.parametrize("prefix", ["models/tiny", "", "with space/\u00e9"])
def test_a_prefix_is_fetched_and_nothing_below_or_beside_it(
    bucket: Bucket, toy_model: Path, tmp_path: Path, prefix: str
) -> None:
    source = bucket.upload(toy_model, prefix)
    for other in (f"{prefix}/onnx/config.json", f"{prefix}-large/config.json"):
        bucket.client.fput_object(bucket.name, other.lstrip("/"), str(toy_model / "tokenizer.json"))
    facts, tokenizer, weights = fetch(source, tmp_path, bucket.platform)
    assert facts["kind"] == "s3"
    assert facts["revision"] == identify(source, bucket.platform)
    for name in model_files.TOKENIZER:
        assert (tokenizer / name).read_bytes() == (toy_model / name).read_bytes()
    for name in ("config.json", "model.safetensors"):
        assert (weights / name).read_bytes() == (toy_model / name).read_bytes()


def test_an_identity_follows_the_objects(bucket: Bucket, toy_model: Path, tmp_path: Path) -> None:
    source = bucket.upload(toy_model)
    first = identify(source, bucket.platform)
    bucket.client.fput_object(bucket.name, "models/tiny/modules.json", str(toy_model / "config.json"))
    assert identify(source, bucket.platform) == first
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**json.loads((toy_model / "config.json").read_text()), "hidden_dropout_prob": 0.2}))
    bucket.client.fput_object(bucket.name, "models/tiny/config.json", str(config))
    assert identify(source, bucket.platform) != first


def test_a_new_version_of_equal_bytes_is_another_identity(address: str, toy_model: Path) -> None:
    bucket = Bucket(address, versioned=True)
    source = bucket.upload(toy_model)
    first = identify(source, bucket.platform)
    assert identify(source, bucket.platform) == first
    bucket.client.fput_object(bucket.name, "models/tiny/config.json", str(toy_model / "config.json"))
    assert identify(source, bucket.platform) != first


def test_shards_come_through_their_index(bucket: Bucket, toy_model: Path, tmp_path: Path) -> None:
    folder = model_files.sharded(toy_model, tmp_path / "sharded", "safetensors")
    source = bucket.upload(folder)
    _, _, weights = fetch(source, tmp_path / "out", bucket.platform)
    model_files.assert_same_tensors(weights / "model.safetensors", toy_model / "model.safetensors")
    bucket.client.remove_object(bucket.name, "models/tiny/model-00002-of-00002.safetensors")
    with pytest.raises(DataError, match=r"names model-00002-of-00002.safetensors, which is not below s3://"):
        fetch(source, tmp_path / "again", bucket.platform)


def test_scratch_downloads_no_weights(bucket: Bucket, toy_model: Path, tmp_path: Path) -> None:
    source = ScratchModel(tokenizer=bucket.upload(toy_model))
    _, tokenizer, weights = fetch(source, tmp_path, bucket.platform)
    assert (tokenizer / "tokenizer.json").read_bytes() == (toy_model / "tokenizer.json").read_bytes()
    assert {path.name for path in weights.iterdir()} == {"architecture.json", "source.json"}
    assert not (tmp_path / "scratch/s3/model.safetensors").exists()


def test_an_object_that_changes_meanwhile_is_not_mixed_in(
    bucket: Bucket, toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bucket.upload(toy_model)
    from kubetune.data.models import s3

    listed = s3._objects

    def list_then_change(place: Any) -> Any:
        found = listed(place)
        bucket.client.fput_object(bucket.name, "models/tiny/config.json", str(toy_model / "tokenizer.json"))
        return found

    monkeypatch.setattr(s3, "_objects", list_then_change)
    with pytest.raises(TemporaryError, match="changed meanwhile"):
        fetch(source, tmp_path, bucket.platform)


def test_what_cannot_be_used_is_a_wrong_recipe_or_setting(bucket: Bucket, toy_model: Path) -> None:
    bucket.upload(toy_model)
    for url, sentence in (
        (f"s3://{bucket.name}/models/absent", "Nothing of a model lies directly below"),
        (f"s3://{uuid4().hex}/models", r"cannot be read \(NoSuchBucket\)"),
    ):
        with pytest.raises(ConfigError, match=sentence) as caught:
            identify(S3Model(url=url), bucket.platform)
        assert caught.value.exit_code == 78
    with pytest.raises(ConfigError, match="'no address' is no address of an S3 server"):
        identify(S3Model(url="s3://bucket/models"), {"s3": S3Settings("no address", "someone", "something")})
    with pytest.raises(ConfigError, match="set KUBETUNE_S3_ENDPOINT"):
        identify(S3Model(url="s3://bucket/models"), {"s3": None})


@pytest.mark.parametrize("url", ["s3://Not_A_Bucket/models", "s3:///models", "models", "https://bucket/models"])
def test_an_address_that_is_none_is_found_in_the_recipe(url: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        S3Model(url=url)


def test_a_server_that_is_away_is_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubetune.data.s3_client.RETRIES", False)
    platform = {"s3": S3Settings("http://127.0.0.1:9", "someone", "something")}
    with pytest.raises(TemporaryError, match=r"does not answer .* run the same command again") as caught:
        identify(S3Model(url="s3://bucket/models"), platform)
    assert caught.value.exit_code == 75
