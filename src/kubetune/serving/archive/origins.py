"""What a model was made of, as its card says it: base model and data, their revisions and licences."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from kubetune.serving.archive.cards import plain_label

FILES_NAMED = 3


def base_model(source: Any, facts: Mapping[str, Any]) -> str:
    """Return one sentence about the pretrained model.

    Args:
        source: Recipe section `model.source`.
        facts: `revision` and `licence`, each None where nobody stated it.
    """
    if source.kind == "scratch":
        return f"None: trained from scratch on the tokenizer of {_model(source.tokenizer)}. {_terms(facts)}"
    return f"{_model(source)}. {_terms(facts)}"


def data_origin(source: Any, facts: Mapping[str, Any]) -> str:
    """Return one sentence about the rows; arguments as of `base_model`, of section `data.source`.

    Folders, hosts, queries and addresses stay out: a card is shown to people who should not know them.
    """
    return f"{_data(source)}. {_terms(facts)}"


def front_matter(base: Any, rows: Any, pipeline: str) -> str:
    """Return the YAML head that a hub reads from a card; under which licence the model goes out is its owner's word.

    Args:
        base: Recipe section `model.source`.
        rows: Recipe section `data.source`.
        pipeline: Name of the task's pipeline.
    """
    values: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": pipeline}
    if base.kind == "hub":
        values["base_model"] = base.name
    if rows.kind == "hub":
        values["datasets"] = [rows.name]
    return f"---\n{yaml.safe_dump(values, sort_keys=True, allow_unicode=False)}---\n"


def _model(source: Any) -> str:
    if (published := _published(source, "model hub")) is not None:
        return published
    return f"`{plain_label(_last(source.url if source.kind == 's3' else source.path))}`, a folder of its owner"


def _published(source: Any, hub: str) -> str | None:
    """Name what others can get too; None: it is its owner's."""
    if source.kind == "hub":
        return f"`{plain_label(source.name, 120)}` of a {hub}"
    if source.kind == "package":
        paths = [source.path] if isinstance(source.path, str) else list(source.path.values())  # a file a split
        return f"{_named(paths)} of Python package `{plain_label(source.distribution, 120)}`"
    return None


def _data(source: Any) -> str:
    if (published := _published(source, "data hub")) is not None:
        return published
    if source.kind == "sql":
        return "the rows of a database query"
    listed = [path for paths in source.paths.values() for path in ([paths] if isinstance(paths, str) else paths)]
    return f"{_named(listed)}, of its owner"


def _named(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - FILES_NAMED} more" if len(paths) > FILES_NAMED else ""
    return ", ".join(f"`{plain_label(_last(path))}`" for path in paths[:FILES_NAMED]) + more


def _terms(facts: Mapping[str, Any]) -> str:
    revision, licence = facts.get("revision"), facts.get("licence")
    dated = f"Revision `{plain_label(str(revision), 80)}`. " if revision else ""
    return f"{dated}Licence: {plain_label(str(licence), 200) if licence else 'not stated by its owner'}."


def _last(path: str) -> str:
    """Return the last part of a path or address, without what a query in it may carry."""
    return PurePosixPath(urlsplit(path).path if "://" in path else path.replace("\\", "/")).name or "its root"
