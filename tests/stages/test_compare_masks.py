"""The body of `compare` for masked tokens: less is better, and only rows with the same masks compare."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import compared_toys
import mask_toys
import served_toys
from kubetune.errors import DataError
from kubetune.serving.archive.manifest import REQUIRED, Archive, ServingSettings, write_manifest

ROWS = 240


def write_report(folder: Path, harder: float, others: int = 0) -> Path:
    """Write a report of texts with two masks each, `others` of them with other ones."""
    folder.mkdir(parents=True)
    nll = 2 * (np.random.default_rng(5).gamma(2.0, 1.0, ROWS) + harder)
    right = np.where(nll < 3, 2, np.where(nll < 5, 1, 0))
    truths = [[f"w{row}", "x" if row >= others else "y"] for row in range(ROWS)]
    guesses = [[{"truth": truth, "answer": "a", "score": 0.5} for truth in row] for row in truths]
    columns: dict[str, Any] = {
        "row_id": [f"row-{row}" for row in range(ROWS)], "raw_text": [f"text {row}" for row in range(ROWS)],
        "text_group": pa.array(range(ROWS), pa.int32()), "label": [True] * ROWS, "guesses": guesses,
        "masks": [2] * ROWS, "top_1": right, "top_5": np.full(ROWS, 2), "nll": nll,
        "confidence": pa.array([0.5] * ROWS, pa.float32()), "length": pa.array([9] * ROWS, pa.int32()),
    }  # fmt: skip
    pq.write_table(pa.table(columns), folder / "predictions.parquet")
    (folder / "metrics.json").write_text(
        json.dumps({"labels": [], "rows": ROWS, "verdict": {"code": 0, "reasons": []}}), encoding="utf-8"
    )
    (folder / "report.html").write_text(compared_toys.PAGE, encoding="utf-8")
    return folder


@pytest.fixture
def world(tmp_path: Path) -> compared_toys.World:
    archive = tmp_path / "archive"
    archive.mkdir()
    for name in REQUIRED:
        (archive / name).write_text("{}", encoding="utf-8")
    serving = ServingSettings(**dict(served_toys.recipe_view(mask_toys.KIND).serving))
    write_manifest(archive, Archive(mask_toys.KIND, (), (), 24, serving, {}))
    return compared_toys.World(tmp_path / "world", archive)


def compared(world: compared_toys.World, harder: float, others: int = 0) -> dict[str, Any]:
    world.champion(None)
    write_report(world.inputs["champion"] / "report", harder, others)
    world.inputs["report"] = write_report(world.folder / "report", 0.0)
    world.inputs["behaviour"] = served_toys.write_behaviour(world.folder / "behaviour")
    return world.run(kind=mask_toys.KIND)[1]


@pytest.mark.parametrize(("harder", "outcome"), [(0.5, "promote"), (-0.5, "keep")])
def test_a_lower_cross_entropy_is_the_better_one(world: compared_toys.World, harder: float, outcome: str) -> None:
    found = compared(world, harder)
    assert found["outcome"] == outcome
    assert found["rules"]["metric"] == "cross_entropy"
    assert found["document"]["metric"]["gain"]["value"] == pytest.approx(harder, abs=1e-9)


def test_rows_with_other_masks_are_left_out(world: compared_toys.World) -> None:
    found = compared(world, 0.5, others=40)
    assert found["document"]["rows"] == ROWS - 40
    assert any("reads 40 of 240 rows as other tokens than the candidate" in reason for reason in found["reasons"])


def test_another_tokenizer_is_refused(world: compared_toys.World) -> None:
    with pytest.raises(DataError, match=r"reads 200 of 240 test rows as other tokens .* use the same tokenizer"):
        compared(world, 0.5, others=200)
