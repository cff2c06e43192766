"""Section `data.source`: where rows come from. One class a registered source."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from kubetune.schema.section import Section

Format = Literal["auto", "csv", "tsv", "jsonl", "json", "parquet", "conll"]
Split = Literal["train", "validation", "test", "unsupervised"]


def _in_order(value: dict[Any, Any]) -> dict[Any, Any]:
    return {name: value[name] for name in (*get_args(Split), "all") if name in value}


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
        """A pool is split by us; a given split is kept. Both at once would leak."""
        if not self.paths:
            raise ValueError("paths is empty: give `all`, or `train` with optional `validation` and `test`")
        if "all" in self.paths and len(self.paths) > 1:
            raise ValueError("paths has `all` beside named splits: give one or the other")
        if "all" not in self.paths and "train" not in self.paths:
            raise ValueError("paths has no `train`: add it, or give one pool as `all`")
        return self


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
    """A file inside an installed Python distribution; the distribution is never imported."""

    kind: Literal["package"] = "package"
    distribution: str
    """Name of the installed distribution."""
    version: str | None = None
    """Exact version that must be installed; None: any."""
    path: str
    """File below the distribution's root, as listed in its RECORD."""


DataSource = Annotated[HubData | FilesData | SqlData | PackageData, Field(discriminator="kind")]
