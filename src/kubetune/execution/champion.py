"""What stage `compare` is given of the champion: resolved when the stage runs, part of its key, recorded in its commit.

Two rules keep a repeated run the same run. A run that has compared stays with the champion that it met. And a champion
that is asked to compare with itself is compared with what it replaced, so that its own comparison is adopted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubetune.config.load import canonical
from kubetune.errors import KubetuneError
from kubetune.evaluation.overlap import same_rows
from kubetune.plan import StageCall
from kubetune.storage.base import Store
from kubetune.storage.blobs import File, fetch_tree, tree_digest
from kubetune.storage.commit_record import Commit
from kubetune.storage.comparisons import reserve_comparison
from kubetune.storage.records import digest_of
from kubetune.storage.registry import RegisteredModel, Version, read_model
from kubetune.storage.versions import NO_CHAMPION, files_of, read_document

ARTIFACTS = ("archive", "report", "behaviour")
"""Of the champion, each a folder below the input."""


@dataclass(frozen=True)
class ChampionInput:
    """The further input folder of a stage that is given the champion.

    Attributes:
        document: `champion.json` in it.
        files: Artifact name → files of the champion's; empty without a champion.
    """

    document: Mapping[str, Any]
    files: Mapping[str, tuple[File, ...]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Enters the key."""
        return digest_of(self.document)

    def place(self, store: Store, folder: Path) -> None:
        """Write the input into an empty folder.

        Raises:
            CorruptArtifactError: Stored bytes of the champion do not have their digest.
        """
        for name, files in self.files.items():
            (folder / name).mkdir(parents=True)
            fetch_tree(store, files, folder / name)
        text = json.dumps(self.document, sort_keys=True, indent=2)
        (folder / "champion.json").write_text(text + "\n", encoding="utf-8")


def champion_input(call: StageCall, store: Store, inputs: Mapping[str, Commit], own: Commit | None) -> ChampionInput:
    """Return what the stage is given.

    Args:
        call: Of a stage whose row asks for the champion.
        store: Where models and runs are recorded.
        inputs: Artifact name → the commit that holds it.
        own: This run's commit of the stage; None: it has not compared yet.
    """
    found = known_champion(call, store, tree_digest(inputs["model"].outputs["model"]), own)
    if isinstance(found, ChampionInput):
        return found
    model, champion = found
    return with_files(store, met(call, store, inputs, model, champion), model)


def known_champion(
    call: StageCall, store: Store, candidate: str, own: Commit | None
) -> ChampionInput | tuple[RegisteredModel, Version]:
    """Return what the stage is given where that is known without counting a comparison, else whom it is to meet.

    Args:
        call: Of a stage whose row asks for the champion.
        store: Where models and runs are recorded.
        candidate: Digest of the artifact `model`.
        own: This run's commit of the stage; None: it has not compared yet.
    """
    if own is not None and "champion" in own.facts:
        return with_files(store, own.facts["champion"])
    if call.recipe.promotion.gate == "thresholds":
        return ChampionInput(NO_CHAMPION)
    model = read_model(store, call.endpoint)
    if model is None or model.champion is None:
        return ChampionInput(NO_CHAMPION)
    if model.champion.model == candidate:
        return with_files(store, read_document(store, model.champion)["compared"], model)
    return model, model.champion


def met(
    call: StageCall, store: Store, inputs: Mapping[str, Commit], model: RegisteredModel, champion: Version
) -> Mapping[str, Any]:
    """Return `champion.json` for a champion that is met now.

    The comparison is counted before it is made; one that too few texts rule out is not made and not counted.
    """
    rows = inputs["report"].facts.get("test_rows")
    if not isinstance(rows, dict):
        raise KubetuneError(
            f"The report of run {call.run} does not say which test rows it is about: evaluate it again."
        )
    rules = canonical(call.recipe)["promotion"]
    pair = {
        "candidate": tree_digest(inputs["model"].outputs["model"]),
        "report": tree_digest(inputs["report"].outputs["report"]),
        "champion": champion.archive,
        "rules": rules,
    }
    few = int(rows.get("distinct") or rows["rows"]) < call.recipe.promotion.minimum_rows
    return {
        "format": NO_CHAMPION["format"],
        "name": model.name,
        "version": champion.number,
        "run": champion.run,
        "archive": champion.archive,
        "model": champion.model,
        "earlier": 0 if few else reserve_comparison(store, model.name, rows, digest_of(pair), same_rows),
    }


def with_files(store: Store, document: Mapping[str, Any], known: RegisteredModel | None = None) -> ChampionInput:
    """Add the files of the version that the document names.

    Args:
        store: Where models are recorded.
        document: `champion.json`.
        known: A model that was read already. What its versions were made of never changes.
    """
    if document["version"] is None:
        return ChampionInput(document)
    model = known if known is not None and known.name == document["name"] else read_model(store, document["name"])
    if model is None:
        raise KubetuneError(f"Model {document['name']} was compared with and is not in the store: restore its record.")
    found = read_document(store, model.version(document["version"]))
    return ChampionInput(document, {name: files_of(found, name) for name in ARTIFACTS})
