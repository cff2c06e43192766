"""The example notebook, executed cell by cell in a real kernel, and a whole run up to a served endpoint from Python."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

import kubetune as kt
from commands import kubetune
from kubetune.execution.local import StageFailedError
from kubetune.serving.local.endpoints import stop_endpoint

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def read() -> Any:
    import nbformat

    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_valid_and_holds_no_outputs() -> None:
    import nbformat

    book = read()
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert len(cells) >= 10 and not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.slow
def test_the_notebook_runs_in_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbclient import NotebookClient

    monkeypatch.delenv("PYTEST_CURRENT_TEST", raising=False)  # with it, a kernel does not show what processes print
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = read()
    client = NotebookClient(book, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    began = time.monotonic()
    client.execute()
    print(f"the notebook took {time.monotonic() - began:.0f} s")
    shown = {cell["id"]: outputs_of(cell) for cell in book.cells if cell.cell_type == "code"}
    assert "did you mean `epochs`" in shown["load"] and "`data.limit`" in shown["load"]
    assert "no run has this stage yet" in shown["planned"]
    assert "run notebook-1  ·  store file://" in shown["first"]
    assert "tokenising rows" in shown["first"] and "validation accuracy" in shown["first"], "progress of the stages"
    assert "run notebook-1: complete" in shown["first"]
    assert "accuracy_low" in shown["metrics"] and "confidence" in shown["rows"]
    assert "&lt;h1&gt;" in shown["report"] and "notebook-1" in shown["report"]
    assert "adopted from notebook-1" in shown["second"] and "recipe.training.epochs" in shown["second"]
    assert "training.epochs" in shown["compared"]
    assert "status=422" in shown["predicted"] and "positive" in shown["predicted"]
    assert {line.run for line in kt.runs(tmp_path / "kubetune-store")} == {"notebook-1", "notebook-2"}


def outputs_of(cell: Any) -> str:
    """Return all texts that a cell shows; an error of a cell ends its execution before."""
    texts = []
    for output in cell.outputs:
        texts += [output.text] if output.output_type == "stream" else [str(text) for text in output.data.values()]
    return "\n".join(texts)


@pytest.mark.slow
def test_a_run_from_python_serves_and_fails_with_typed_errors(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBETUNE_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("KUBETUNE_STATE_DIR", str(tmp_path / "state"))
    with pytest.raises(kt.DataError, match="has no column 'words'") as wrong:
        kt.run(kt.load_recipe("toy.yaml", ["data.columns.text=words"]))
    assert wrong.value.rule == "missing-column"
    with pytest.raises(kt.DataError, match=r"\[rule: [a-z-]+\]$") as wrong:  # said by the stage's own process
        kt.run(kt.load_recipe("toy.yaml", ["data.labels=[other, names]"]), "strange")
    assert wrong.value.rule != "unknown" and isinstance(wrong.value.__cause__, StageFailedError)
    assert next(iter(kt.open_run("strange").attempts["prepare"].values()))["reason"] == str(wrong.value)
    approved = ["name=asked", "promotion.approval=true"]
    with pytest.raises(kt.ConfigError, match="kubetune stage register --run asked-1 --endpoint"):
        kt.run(kt.load_recipe("toy.yaml", approved), endpoint="other")
    run = kt.run(kt.load_recipe("toy.yaml"))
    try:
        assert run.state == "complete" and kt.open_run(run.name).endpoints == ("toy",)
        assert "adopted from asked-1" in capsys.readouterr().out
        texts = ["we love the food", "", "a nasty day"]
        asked = kt.EndpointClient("toy").predict(texts)
        assert kt.EndpointClient().predict(texts) == asked
        alone = kt.load_predictor(run).predict(texts)
        assert [one.label for one in alone] == [one.label for one in asked]
        assert [one.status for one in asked] == [200, 422, 200]
        printed = json.loads(kubetune(here, "predict", texts[0], "--json", **os.environ).stdout)
        assert printed[0]["predictions"][0] == {"label": asked[0].label, "score": asked[0].score}
    finally:
        stop_endpoint(tmp_path / "state", "toy")
    with pytest.raises(kt.ConfigError, match="does not run"):
        kt.EndpointClient("toy").predict(texts)
