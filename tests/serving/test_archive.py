"""The served directory: what it must hold, and what it must not."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import served_toys
from kubetune.errors import ConfigError, CorruptArtifactError, KubetuneError
from kubetune.layout import file_digest
from kubetune.serving.archive.manifest import archive_digest, read_archive, write_manifest


@pytest.fixture
def copy(archive: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(archive, tmp_path / "copy"))


def test_the_manifest_says_what_was_packaged(archive: Path) -> None:
    found = read_archive(archive)
    assert found.labels == ("negative", "positive")
    assert found.cleaning == served_toys.CLEANING
    assert found.serving.max_characters == 2000
    assert set(found.files) == {
        path.relative_to(archive).as_posix() for path in archive.rglob("*") if path.is_file()
    } - {"archive.json"}


def edit(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        manifest = json.loads((folder / "archive.json").read_text())
        (folder / "archive.json").write_text(json.dumps(manifest | values))

    return change


def add(name: str, content: bytes, *, listed: bool) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        if listed:
            write_manifest(folder, read_without_check(folder))

    return change


def read_without_check(folder: Path):
    from kubetune.serving.archive.manifest import _parse

    return _parse(folder)


def remote_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"auto_map": {"AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    write_manifest(folder, read_without_check(folder))


def link(folder: Path) -> None:
    (folder / "golden.json").rename(folder.parent / "golden.json")
    (folder / "golden.json").symlink_to(folder.parent / "golden.json")


def escape(folder: Path) -> None:
    manifest = json.loads((folder / "archive.json").read_text())
    manifest["files"].append({"path": "../outside.json", "sha256": "0" * 64, "size": 1})
    (folder / "archive.json").write_text(json.dumps(manifest))


FAULTS: dict[str, tuple[Callable[[Path], object], type[KubetuneError], str]] = {
    "unknown format": (edit(format=2), ConfigError, "format 2, this version reads 1"),
    "unknown key": (edit(hook="x"), ConfigError, "hook"),
    "unknown serving key": (edit(serving={"hook": 1}), ConfigError, "hook"),
    "no manifest": (lambda folder: (folder / "archive.json").unlink(), ConfigError, "has no archive.json"),
    "half a manifest": (
        lambda folder: (folder / "archive.json").write_text('{"format": 1, '),
        ConfigError,
        "cannot be read",
    ),
    "unlisted file": (add("tokenizer/more.json", b"{}", listed=False), ConfigError, "not in its manifest"),
    "pickle, listed": (add("pytorch_model.bin", pickle.dumps(1), listed=True), ConfigError, "can run code"),
    "pickle in tokenizer": (add("tokenizer/x.pkl", pickle.dumps(1), listed=True), ConfigError, "can run code"),
    "code": (add("torch.py", b"raise SystemExit", listed=True), ConfigError, "can run code"),
    "stranger": (add("notes.md", b"hello", listed=True), ConfigError, "which format 1 does not have"),
    "remote code": (remote_code, ConfigError, "auto_map"),
    "link": (link, ConfigError, "golden.json"),
    "path outside": (escape, ConfigError, "outside.json"),
    "missing file": (
        lambda folder: (folder / "config.json").unlink(),
        CorruptArtifactError,
        "config.json of the archive is missing",
    ),
    "truncated weights": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9]),
        CorruptArtifactError,
        "model.safetensors of the archive does not have the digest",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_archive_is_refused_with_a_sentence(copy: Path, name: str) -> None:
    change, error, sentence = FAULTS[name]
    read_archive(copy)
    change(copy)
    with pytest.raises(error) as found:
        read_archive(copy)
    assert sentence in str(found.value)


def test_one_digest_names_all_bytes(copy: Path) -> None:
    before = archive_digest(copy)
    assert before == file_digest(copy / "archive.json")
    write_manifest(copy, read_archive(copy))
    assert archive_digest(copy) == before
    (copy / "golden.json").write_text((copy / "golden.json").read_text() + " ")
    write_manifest(copy, read_without_check(copy))
    assert archive_digest(copy) != before
