"""Source `hub`: a data set of a Hugging Face hub, frozen at a commit.

The repository's own description (its card and the names of its files) decides which files hold which split. So the
builder of `datasets` is first shown the repository with empty files, then exactly the files that it chose are
downloaded at the commit, and it reads those from disk: nothing else is fetched, no code of the repository runs.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kubetune.config.data_sources import HubData
from kubetune.data.bounds import SourceBounds, bounds_of, check_size
from kubetune.data.hub import ANSWER_WITHIN_S, hub_client, hub_errors
from kubetune.data.sources.base import Facts, FileFact, Reading
from kubetune.errors import ConfigError, DataError, TemporaryError
from kubetune.layout import file_digest

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset, DatasetBuilder
    from huggingface_hub import DatasetInfo, HfApi

COMMIT = re.compile(r"[0-9a-f]{40}")
DESCRIPTIONS = {"README.md", ".huggingface.yaml", "dataset_infos.json"}
OURS = ("train", "validation", "test", "unsupervised")
BATCH_ROWS = 8192


def identify(source: HubData, platform: Mapping[str, Any]) -> str | None:
    """Return the commit that the revision means now; a revision that is a commit is asked of nobody.

    Raises:
        ConfigError: There is no such data set or revision, it is gated, or settings say offline.
        TemporaryError: The hub does not answer.
    """
    if COMMIT.fullmatch(source.revision):
        return source.revision
    return str(_describe(hub_client(platform), source).sha)


def read(source: HubData, encoding: str, platform: Mapping[str, Any], scratch: Path) -> Reading:
    """Return the rows of the splits.

    Raises:
        ConfigError: As `identify`; or the data set has no such configuration or split.
        DataError: Its files cannot be read, or do not hold what its card says.
        TemporaryError: The hub does not answer, or delivered half a file.
    """
    if encoding != "utf-8":
        raise ConfigError(f"data.encoding {encoding!r:.60} cannot be used with a hub data set: leave it utf-8.")
    client = hub_client(platform)
    info = _describe(client, source, files=True)
    facts = Facts(identity=info.sha, revision=info.sha, licence=_licence(info))
    repository = _Repository(source, client, info, scratch / "repository", bounds_of(platform))
    return Reading(_rows(repository, scratch / "built", facts), facts)


def _name(source: HubData) -> str:
    config = f" ({source.config})" if source.config else ""
    return f"Data set {source.name}{config} at {source.revision}"


def _describe(client: "HfApi", source: HubData, *, files: bool = False) -> "DatasetInfo":
    with hub_errors(_name(source)):
        info = client.dataset_info(source.name, revision=source.revision, timeout=ANSWER_WITHIN_S, files_metadata=files)
    if not COMMIT.fullmatch(info.sha or ""):
        raise TemporaryError(f"{_name(source)}: the hub named no commit; run the same command again.")
    return info


def _licence(info: "DatasetInfo") -> str | None:
    stated = info.card_data.get("license") if info.card_data else None
    return ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated) if stated else None


@dataclass(frozen=True)
class _Repository:
    """A repository at a commit, and the folder in which it is being rebuilt."""

    source: HubData
    client: "HfApi"
    info: "DatasetInfo"
    folder: Path
    bounds: SourceBounds

    @property
    def name(self) -> str:
        return _name(self.source)

    def show(self) -> None:
        """Make the folder look like the repository: its description, and empty files under all other names."""
        self.folder.mkdir()
        for item in self.info.siblings or []:
            inside = PurePosixPath(item.rfilename)
            if inside.is_absolute() or ".." in inside.parts:
                raise DataError("file-name", f"{self.name} has a file {item.rfilename!r:.120} that leads out of it.")
            path = self.folder / inside
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            if item.rfilename in DESCRIPTIONS:
                self.download(item.rfilename)

    def download(self, name: str) -> FileFact:
        """Replace an empty file by its content; checks the digest that the hub states for large files."""
        path = self.folder / name
        path.unlink()
        with hub_errors(self.name):
            self.client.hf_hub_download(
                self.source.name, name, repo_type="dataset", revision=self.info.sha, local_dir=self.folder
            )
        stated = next((item.lfs for item in self.info.siblings or [] if item.rfilename == name), None)
        digest = file_digest(path)
        if stated is not None and stated.sha256 != digest:
            raise TemporaryError(f"{self.name}: {name} arrived damaged; nothing is kept, run the same command again.")
        return FileFact(name, digest, path.stat().st_size, None)

    def builder(self, built: Path) -> "DatasetBuilder":
        """Open the builder that `datasets` chooses for the folder."""
        import datasets

        try:
            return datasets.load_dataset_builder(str(self.folder), name=self.source.config, cache_dir=str(built))
        except (datasets.exceptions.DatasetsError, FileNotFoundError):
            raise ConfigError(
                f"{self.name} has no files that can be read without running its code: choose a revision or data set "
                "with Parquet, CSV or JSON files, or export it and use data.source.kind=files."
            ) from None
        except ValueError as error:
            known = ", ".join(datasets.get_dataset_config_names(str(self.folder)))
            if known:
                raise ConfigError(f"{self.name}: set data.source.config to one of {known:.400}.") from None
            raise DataError("hub-card", f"{self.name} describes itself wrongly ({_first_line(error)}).") from None

    def files(self, builder: "DatasetBuilder") -> list[str]:
        """Names of the files that the builder is going to read.

        Raises:
            ConfigError: One of them is elsewhere.
        """
        names = set()
        root = self.folder.resolve()
        for path in [path for paths in (builder.config.data_files or {}).values() for path in paths]:
            if not Path(path).is_relative_to(root):
                raise ConfigError(f"{self.name} reads files outside its repository: download them and use kind=files.")
            names.add(Path(path).relative_to(root).as_posix())
        return sorted(names)


def _rows(repository: _Repository, built: Path, facts: Facts) -> "Iterator[tuple[str, pa.RecordBatch]]":
    from datasets import ClassLabel

    repository.show()
    files = repository.files(repository.builder(built))
    sizes = {item.rfilename: item.size or 0 for item in repository.info.siblings or []}
    check_size(sum(sizes.get(name, 0) for name in files), repository.name, repository.bounds)
    facts.files += [repository.download(name) for name in files]
    tables = _build(repository, built)
    for ours, theirs in _mapping(repository, sorted(tables)).items():
        table = tables[theirs]
        if not len(table):
            raise DataError("no-rows", f"{repository.name} has no rows in split {theirs}: map another, or none.")
        items = {column: getattr(item, "feature", item) for column, item in table.features.items()}  # a list's, too
        names = {column: list(item.names) for column, item in items.items() if isinstance(item, ClassLabel)}
        if any(facts.class_names.get(column, found) != found for column, found in names.items()):
            raise DataError("class-names", f"{repository.name} names its classes differently in split {theirs}.")
        facts.class_names |= names
        for part in table.with_format("arrow").iter(BATCH_ROWS):
            yield from ((ours, batch) for batch in part.combine_chunks().to_batches())


def _build(repository: _Repository, built: Path) -> "dict[str, Dataset]":
    """Let `datasets` read the files; checks the counts that the card states."""
    import datasets

    datasets.disable_progress_bars()
    try:
        builder = repository.builder(built)
        builder.download_and_prepare()
        return dict(builder.as_dataset())
    except datasets.exceptions.DatasetsError as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError) and cause.errno is not None:
            raise cause from None  # the disk's
        raise DataError(
            "hub-files", f"{repository.name} cannot be read ({_first_line(cause)}): choose another revision."
        ) from None


def _mapping(repository: _Repository, found: list[str]) -> dict[str, str]:
    """Return our split → theirs.

    Raises:
        ConfigError: A wanted split does not exist, or a split's name is not one of ours and nothing maps it.
    """
    wanted = {str(ours): theirs for ours, theirs in repository.source.splits.items()} or dict(
        zip(found, found, strict=True)
    )
    if set(wanted) <= set(OURS) and set(wanted.values()) <= set(found):
        return {name: wanted[name] for name in OURS if name in wanted}
    raise ConfigError(
        f"{repository.name} has the splits {', '.join(found)}: set data.source.splits to map them, "
        f"{{{'|'.join(OURS)}: name}}."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
