"""Section `model.source`: where the pretrained model comes from. One class a registered source."""

from typing import Annotated, Literal

from pydantic import Field

from kubetune.schema.section import Section


class HubModel(Section):
    """A repository of a Hugging Face hub, frozen at a commit."""

    kind: Literal["hub"] = "hub"
    name: str = Field(min_length=1)
    """Repository, for example `google-bert/bert-base-uncased`."""
    revision: str = Field(default="main", min_length=1)
    """Branch, tag or commit; `fetch` resolves it to a commit and records that."""


class PathModel(Section):
    """A local folder in the layout of `save_pretrained`."""

    kind: Literal["path"] = "path"
    path: str = Field(min_length=1)
    """The folder."""


class S3Model(Section):
    """A prefix of the configured S3 server that holds such a folder."""

    kind: Literal["s3"] = "s3"
    url: str = Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$")
    """`s3://bucket/prefix`."""


class PackageModel(Section):
    """Such a folder inside an installed Python distribution, which is never imported."""

    kind: Literal["package"] = "package"
    distribution: str = Field(min_length=1)
    """Name of the installed distribution."""
    version: str | None = None
    """Exact version that must be installed; null: any."""
    path: str = Field(min_length=1)
    """The folder, from where the distribution is installed, for example `package_name/model`."""


PretrainedSource = Annotated[HubModel | PathModel | S3Model | PackageModel, Field(discriminator="kind")]


class ScratchModel(Section):
    """No pretrained weights: a small bidirectional LSTM over the tokens of another model's tokenizer."""

    kind: Literal["scratch"] = "scratch"
    tokenizer: PretrainedSource
    """Only its tokenizer is fetched."""
    architecture: Literal["bilstm"] = "bilstm"
    """What is built."""
    embedding_size: int = Field(default=128, ge=1, le=65_536)
    """Units of a token."""
    hidden_size: int = Field(default=128, ge=1, le=65_536)
    """Units a direction."""
    layers: int = Field(default=1, ge=1, le=256)
    """Stacked layers."""


ModelSource = Annotated[HubModel | PathModel | S3Model | PackageModel | ScratchModel, Field(discriminator="kind")]
