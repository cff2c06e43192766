"""Two real toy runs of one store: `toy-1` to its archive, `toy-2` of another seed to its report."""

import shutil
from pathlib import Path

import pytest

import toys
from kubetune.storage.open import open_store
from pipelines import TOY, run_plan, settings_of, toy_recipe


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    """A folder with `toy.yaml`, its rows, and the store with both runs."""
    folder = tmp_path_factory.mktemp("notebook")
    data = toys.write_jsonl(folder / "rows.jsonl", toys.toy_rows(160))
    (folder / "toy.yaml").write_text(TOY.format(data=data, model=toy_model), encoding="utf-8")
    settings = settings_of(folder)
    store = open_store(settings.store)
    run_plan(toy_recipe(data, toy_model), "toy-1", store, settings)
    run_plan(toy_recipe(data, toy_model, ["training.seed=3"]), "toy-2", store, settings, until="evaluate")
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder, entered, its store found by the settings as a notebook's is."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("KUBETUNE_STORE", str(place / "store"))
    monkeypatch.setenv("KUBETUNE_STATE_DIR", str(place / "state"))
    return place


@pytest.fixture
def own(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the store, for a test that writes into it; the settings name the copy."""
    shutil.copytree(here / "store", tmp_path / "store")
    monkeypatch.setenv("KUBETUNE_STORE", str(tmp_path / "store"))
    return tmp_path
