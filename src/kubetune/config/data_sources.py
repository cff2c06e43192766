"""Section `data.source`: where rows come from. One class a registered source."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from kubetune.schema.section import Section

Format = Literal["auto", "csv", "tsv", "jsonl", "json", "parquet", "conll"]
Split = Literal["train", "validation", "test", "unsupervised"]


def _in_order(value: dict[Any, Any]) -> dict[Any, Any]:
    return {name: value[name] for name in (*get_args(Split), "all") if name in value}


def _check_splits(value: dict[Any, Any], key: str) -> None:
    """A pool is split by us; a given split is kept. Both at once would leak."""
    if not value:
        raise ValueError(f"{key} is empty: give `all`, or `train` with optional `validation` and `test`")
    if "all" in value and len(value) > 1:
        raise ValueError(f"{key} has `all` beside named splits: give one or the other")
    if "all" not in value and "train" not in value:
        raise ValueError(f"{key} has no `train`: add it, or give one pool as `all`")


class Tables(Section):
    """How files of rows are read."""

    format: Format = "auto"
    """`auto` reads the suffix; `.gz` is understood after any of them."""
    delimiter: str | None = None
    """CSV and TSV: the character between fields, or `tab`. None: a line `sep=;` decides, else comma, semicolon, tab or
    `|`, whichever the header and the first rows agree on; `ingest` says which."""
    quotes: bool | None = None
    """CSV and TSV: a field may be enclosed in `"`. False: a quote is a character like any other. None: true, and false
    where tabs separate the fields."""
    quoted_lines: int | None = Field(default=None, ge=1, le=1_000_000)
    """Most lines of one quoted field; more is a quote that was not meant (65). None: 100, and fewer where each of the
    lines inside has the fields of a row."""
    header: bool | list[str] = True
    """CSV and TSV: whether the first line names the columns. False: columns are named by their number, from `1`. A
    list: their names in order, where an empty one is a column that is not read."""
    records: str | None = None
    """JSON: key of the outermost object under which the rows lie; what stands under its other keys is not read. None:
    rows lie outermost, or under `data`."""

    @field_validator("header")
    @classmethod
    def names_once(cls, value: bool | list[str]) -> bool | list[str]:
        """Names of columns: at least one, none twice."""
        names = [name for name in value if name.strip()] if isinstance(value, list) else ["1"]
        if not names:
            raise ValueError("header names no column: list the names in order, or write true or false")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"header has {twice[0]!r:.80} twice: name each column once")
        return value

    @field_validator("delimiter")
    @classmethod
    def one_character(cls, value: str | None) -> str | None:
        """A delimiter is one character that neither quotes nor ends a line."""
        value = "\t" if value in {"tab", "\\t"} else value
        if value is not None and (len(value) != 1 or value in '"\r\n\0\ufeff'):
            raise ValueError('delimiter must be one character and no quote or line end, such as "," ";" "|" or tab')
        return value


class HubData(Section):
    """A data set of a Hugging Face hub, frozen at a commit."""

    kind: Literal["hub"] = "hub"
    name: str
    """Repository, for example `dair-ai/emotion`."""
    config: str | None = None
    """Named configuration of the data set; None: its only one."""
    revision: str = "main"
    """Branch, tag or commit. `ingest` resolves it to a commit and records that."""
    splits: dict[Split, str] = Field(default_factory=dict)
    """Our split → the hub's split name; empty: the hub's own names."""

    @field_validator("splits")
    @classmethod
    def in_order(cls, value: dict[Any, str]) -> dict[Any, str]:
        """Train comes first, whatever was written first."""
        return _in_order(value)


class FilesData(Tables):
    """Files: local paths, `s3://bucket/key`, `https://…` or `upload:<digest>/<name>`; globs for local paths."""

    kind: Literal["files"] = "files"
    paths: dict[Split | Literal["all"], str | list[str]]
    """Split → file or files. `all`: one pool that `prepare` splits."""

    @field_validator("paths")
    @classmethod
    def in_order(cls, value: dict[Any, Any]) -> dict[Any, Any]:
        """Train comes first, whatever was written first."""
        return _in_order(value)

    @model_validator(mode="after")
    def pool_or_splits(self) -> "FilesData":
        """See `_check_splits`."""
        _check_splits(self.paths, "paths")
        return self

    @property
    def addresses(self) -> list[str]:
        """Everything that is read."""
        return [path for paths in self.paths.values() for path in ([paths] if isinstance(paths, str) else paths)]

    @property
    def given_splits(self) -> list[str]:
        """Splits of which there must be rows."""
        return list(self.paths)


class SqlData(Section):
    """The rows of one query, read in chunks over any SQLAlchemy URL."""

    queries: ClassVar[frozenset[str]] = frozenset({"query"})

    kind: Literal["sql"] = "sql"
    query: str
    """One SELECT, without INTO, `;` at its end only. Its rows are one pool unless `split_column` says otherwise."""
    url: str | None = None
    """SQLAlchemy URL without a password; None: the deployment setting `sql_url` (where passwords belong)."""
    split_column: str | None = None
    """Column that holds train, validation or test."""
    chunk_rows: int = Field(default=10_000, ge=1, le=1_000_000)
    """Rows fetched at a time, fewer where they are large."""


class PackageData(Tables):
    """A file of a Python distribution, which is never imported: installed, or packed as an sdist or a wheel."""

    kind: Literal["package"] = "package"
    distribution: str
    """Name of the distribution."""
    version: str | None = None
    """Exact version; None: any."""
    path: str | dict[Split, str]
    """File below the distribution's root: as its RECORD lists it, or below an sdist's own folder. A map: split → file;
    else one pool."""
    archive: str | None = None
    """The distribution as one file, an sdist (`.tar.gz`, `.zip`) or a wheel, which is read and never installed: a local
    path, `s3://bucket/key`, `https://…` or `upload:<digest>/<name>`. None: the distribution is installed."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Digest of `archive`, which no other file has; None: any file, whose digest is recorded."""

    @field_validator("path")
    @classmethod
    def in_order(cls, value: str | dict[Any, Any]) -> str | dict[Any, Any]:
        """Train comes first, whatever was written first."""
        return value if isinstance(value, str) else _in_order(value)

    @model_validator(mode="after")
    def pool_or_splits(self) -> "PackageData":
        """See `_check_splits`; a digest is one of a file."""
        if not isinstance(self.path, str):
            _check_splits(self.path, "path")
        if self.sha256 is not None and self.archive is None:
            raise ValueError("sha256 is of `archive`, which is not given: leave it out, or name the file")
        return self

    @property
    def addresses(self) -> list[str]:
        """The archive, if it is one."""
        return [] if self.archive is None else [self.archive]

    @property
    def files(self) -> dict[str, str]:
        """Split → file."""
        return {"all": self.path} if isinstance(self.path, str) else {str(name): at for name, at in self.path.items()}

    @property
    def given_splits(self) -> list[str]:
        """Splits of which there must be rows."""
        return list(self.files)


DataSource = Annotated[HubData | FilesData | SqlData | PackageData, Field(discriminator="kind")]
