"""The mutation table: after each change, which stages must run again and which must not, on a whole toy pipeline."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import kubetune
import toys
from kubetune import layout
from kubetune.errors import ConfigError, CorruptArtifactError
from kubetune.execution.run import open_configured_store
from kubetune.storage.commits import read_commit
from pipelines import ran, run_plan, settings_of, toy_recipe

pytestmark = pytest.mark.slow

ALL = {"ingest", "fetch", "prepare", "train", "evaluate", "behave", "compare", "package"}
AFTER_TRAIN = {"evaluate", "behave", "compare", "package"}
CODE = "\n\nANSWER = 42\n"


class World:
    """A finished first run, and everything a mutation may touch."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.data = folder / "rows.csv"
        self.settings = settings_of(folder)
        self.store = open_configured_store(self.settings)
        self.code = folder / "kubetune"

    def write_rows(self, rows: list[dict[str, str]]) -> None:
        with self.data.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["text", "label"])
            writer.writeheader()
            writer.writerows(rows)

    def run(self, run: str, *overrides: str, audit: bool = False) -> dict[str, str]:
        return run_plan(toy_recipe(self.data, self.model, overrides), run, self.store, self.settings, audit=audit)

    def blob_of(self, run: str, stage: str, artifact: str, name: str) -> Path:
        found = read_commit(self.store, run, stage)
        assert found is not None
        digest = next(file.sha256 for file in found.outputs[artifact] if file.path == name)
        return self.folder / "store" / layout.blob(digest)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> World:
    world = World(tmp_path_factory.mktemp("first"), toy_model)
    world.write_rows(toys.toy_rows(160))
    shutil.copytree(Path(kubetune.__file__).parent, world.code, ignore=shutil.ignore_patterns("__pycache__"))
    (world.code / "training" / "lazily.py").write_text("X = 1\n", encoding="utf-8")
    with (world.code / "training" / "loop.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef later() -> object:\n    from kubetune.training import lazily\n\n    return lazily\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kubetune.keys.ROOT", world.code)
        assert ran(world.run("first")) == ALL
    return world


@pytest.fixture
def world(first: World, tmp_path: Path, toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy of the first run's world, so that each mutation starts from the same state."""
    copy = World(tmp_path, toy_model)
    shutil.copytree(first.folder, tmp_path, dirs_exist_ok=True)
    copy.data = first.data  # its path is in the recipe; mutations write their own file through `edit`
    monkeypatch.setattr("kubetune.keys.ROOT", copy.code)
    return copy


def append(path: str, text: str) -> Callable[[World], tuple[str, ...]]:
    def mutate(world: World) -> tuple[str, ...]:
        with (world.code / path).open("a", encoding="utf-8") as file:
            file.write(text)
        return ()

    return mutate


def override(*values: str) -> Callable[[World], tuple[str, ...]]:
    return lambda _: values


def nothing(_: World) -> tuple[str, ...]:
    return ()


# A stage that runs again and gives equal bytes stops the change there: what follows is adopted.
TABLE = {
    "nothing": (nothing, set()),
    "comment in a reachable module": (append("training/loop.py", "\n# why\n"), set()),
    "comment elsewhere": (append("stages/deploy.py", "\n# why\n"), set()),
    "helper used by train": (append("training/batches.py", CODE), {"train"}),
    "lazy import": (append("training/lazily.py", CODE), {"train"}),
    "package data": (append("evaluation/report.html.j2", "<!-- more -->"), {"evaluate", "behave", "compare"}),
    "learning rate": (override("training.learning_rate=1e-3"), {"train", *AFTER_TRAIN}),
    "evaluation threshold": (
        override("evaluation.thresholds=[{metric: accuracy, at_least: 0.01}]"),
        AFTER_TRAIN,
    ),
    "another task's code": (append("tasks/pair_classification.py", CODE), set()),
    "another source's code": (append("data/sources/sql.py", CODE), set()),
    "seed": (override("training.seed=1"), {"train", *AFTER_TRAIN}),
    "resources only": (override("resources.train.memory=8Gi", "resources.prepare.cpu=2"), set()),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_mutation_runs_what_it_must_and_nothing_else(world: World, name: str) -> None:
    mutate, expected = TABLE[name]
    assert ran(world.run("second", *mutate(world))) == expected


@pytest.fixture
def own_rows(first: World) -> World:
    """The first world with its own file under the path of the recipe, put back afterwards."""
    former = first.data.read_bytes()
    yield first
    first.data.write_bytes(former)


def test_one_more_data_row_runs_everything_after_ingest(world: World, own_rows: World) -> None:
    own_rows.write_rows([*toys.toy_rows(160), {"text": "we saw a lovely film", "label": "positive"}])
    assert ran(world.run("second")) == ALL - {"fetch"}


def test_an_edited_row_of_equal_length_is_seen(world: World, own_rows: World) -> None:
    text = own_rows.data.read_text(encoding="utf-8")
    own_rows.data.write_text(text.replace("monday", "sunday", 1), encoding="utf-8")
    assert ran(world.run("second")) >= {"ingest", "prepare", "train"}


def test_a_touched_file_with_equal_bytes_is_a_skip(world: World, own_rows: World) -> None:
    own_rows.data.write_bytes(own_rows.data.read_bytes())
    assert ran(world.run("second")) == set()


def test_an_upgraded_tokenizer_package_prepares_again_and_stops_there_if_bytes_are_equal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubetune.keys import installed_version

    monkeypatch.setattr(
        "kubetune.keys.installed_version", lambda name: "99.0" if name == "tokenizers" else installed_version(name)
    )
    assert ran(world.run("second")) == {"prepare", "evaluate", "behave", "compare", "package"}


def test_a_deleted_blob_is_made_again_by_its_producer_alone(world: World) -> None:
    blob = world.blob_of("first", "prepare", "dataset", "dataset.json")
    content = blob.read_bytes()
    blob.unlink()
    assert ran(world.run("second")) == {"prepare"}
    assert blob.read_bytes() == content


def flip(path: Path) -> bytes:
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    return content


def test_a_flipped_byte_is_found_by_the_next_reader_and_made_good(world: World) -> None:
    blob = world.blob_of("first", "train", "model", "model.safetensors")
    content = flip(blob)
    changed = ("evaluation.bootstrap_samples=101",)  # makes evaluate a reader of the model
    with pytest.raises(CorruptArtifactError):
        world.run("second", *changed)
    assert ran(world.run("second", *changed)) == {"train", *AFTER_TRAIN}
    assert blob.read_bytes() == content


def test_a_flipped_byte_is_found_by_an_audit_and_made_good(world: World) -> None:
    blob = world.blob_of("first", "prepare", "dataset", "train.parquet")
    content = flip(blob)
    assert set(world.run("first", audit=True).values()) == {"audited"}
    assert blob.read_bytes() == content


def test_a_run_never_changes(world: World) -> None:
    with pytest.raises(ConfigError, match=r"begun with another recipe \(training.learning_rate differ"):
        world.run("first", "training.learning_rate=1e-3")
    append("training/loop.py", CODE)(world)
    with pytest.raises(ConfigError, match=r"another key \(code.kubetune.training.loop differ"):
        world.run("first")


def test_why_names_the_module_and_the_value(world: World) -> None:
    from kubetune.models.history import why

    append("training/batches.py", CODE)(world)
    world.run("second", "training.learning_rate=1e-3")
    found = why(world.store, "second", "train")
    assert found.nearest == "first"
    assert set(found.differ) == {"code.kubetune.training.batches", "recipe.training.learning_rate"}
    assert found.differ["recipe.training.learning_rate"] == ("0.005", "0.001")
