"""What the `--smoke` form of a benchmark stands on: tiny materials of its own, and a look that no figure is missing.

A smoke run takes the real way with tiny sizes and says nothing of speed or quality; it keeps a benchmark from rotting.
"""

import contextlib
import io
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import toys
import vector_toys
from kubetune.config.load import parse_recipe
from kubetune.config.recipe import Recipe
from kubetune.execution.run import open_configured_store
from kubetune.plan import plan
from kubetune.storage.blobs import fetch_tree
from kubetune.storage.commits import read_commit
from pipelines import TOY, run_plan, settings_of

DONE = "smoke: complete"
POSITIONS = 256
"""Of the tiny encoder: as many tokens as a benchmark may pad to."""


class Tee(io.StringIO):
    """Keeps what is printed and prints it."""

    def __init__(self, out: object) -> None:
        super().__init__()
        self.out = out

    def write(self, text: str) -> int:
        """Print and keep."""
        self.out.write(text)
        return super().write(text)


def complete(run: Callable[[], object], wanted: Sequence[str]) -> int:
    """Run a benchmark and see that its output holds a line for each regular expression; return the exit code."""
    tee = Tee(sys.stdout)
    with contextlib.redirect_stdout(tee):
        run()
    missing = [pattern for pattern in wanted if not re.search(pattern, tee.getvalue(), re.MULTILINE)]
    if missing:
        print("smoke: missing in the output:", *missing, sep="\n  ")
        return 1
    print(DONE)
    return 0


def encoder(folder: Path) -> Path:
    """Write a tiny encoder with its tokenizer."""
    return toys.write_toy_model(folder, positions=POSITIONS)


def numbered_rows(count: int, seed: int = 0) -> list[dict[str, object]]:
    """Return rows whose label is a number."""
    return [{"text": row["text"], "label": toys.LABELS.index(row["label"])} for row in toys.toy_rows(count, seed)]


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    """Write rows as JSON lines."""
    return toys.write_jsonl(path, rows)


def recipe_text(folder: Path) -> str:
    """Return a recipe whose data and tiny encoder lie below `folder`; both are written once."""
    data, model = folder / "rows.jsonl", folder / "model"
    if not data.exists():
        toys.write_jsonl(data, toys.toy_rows(240))
        encoder(model)
    return TOY.format(data=data, model=model)


def pairs_recipe_text(folder: Path) -> str:
    """Return that recipe for embeddings, its pairs written as well."""
    rows = [{"anchor": first, "positive": second} for first, second in vector_toys.pair_rows(120)]
    data = toys.write_jsonl(folder / "pairs.jsonl", rows)
    recipe_text(folder)
    return TOY.format(data=data, model=folder / "model") + "task: {kind: feature-extraction}\n"


def pulled(folder: Path, run: str, artifacts: Sequence[str], *overrides: str) -> Path:
    """Run real stages of a tiny recipe as far as the artifacts need, and leave these in `folder/run`."""
    return fetched(folder, run, artifacts, parse_recipe(recipe_text(folder), overrides))


def fetched(folder: Path, run: str, artifacts: Sequence[str], recipe: Recipe) -> Path:
    """Run real stages as far as the artifacts need, and leave these in `folder/run` as `kubetune pull` does."""
    settings = settings_of(folder)
    store = open_configured_store(settings)
    makers = {name: call.stage.name for call in plan(recipe, run) for name in call.stage.outputs}
    order = [call.stage.name for call in plan(recipe, run)]
    run_plan(recipe, run, store, settings, until=max((makers[name] for name in artifacts), key=order.index))
    for name in artifacts:
        commit = read_commit(store, run, makers[name])
        assert commit is not None, makers[name]
        (folder / run / name).mkdir(parents=True)
        fetch_tree(store, commit.outputs[name], folder / run / name)
    return folder / run
