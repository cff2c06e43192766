"""A task's training beside the script of Hugging Face that does the same work: what a row costs, what is learnt.

    python benchmarks/scripts.py RECIPE [SECTION.FIELD=VALUE ...] [--epochs 3] [--seeds 1] [--json FILE] | --smoke

RECIPE is one of `text-classification`, `pair-classification`, `token-classification`, `question-answering` or
`feature-extraction`, whose script is sentence-transformers'. Its data are ingested and prepared once, by the stages;
all arms train on those rows and are measured on its test rows by its task. Arms take turns (see `training.py`), and
CPU seconds are of the optimizer steps alone:

- script: `Trainer` as run_glue, run_ner and run_qa set it: batch 8, learning rate 5e-5 without warmup, fp32, random
  order, padded to the longest of a batch (run_qa: to `model.max_length`), the architecture's own loss.
- equal: the script with the recipe's batch, learning rate and warmup; left out where the script has them itself.
- grouped: the script with `Trainer`'s own length groups; its cost alone, of `--grouped-steps` steps.
- kubetune: the recipe.

Embeddings have `equal` and `kubetune`: the batch is how many negatives there are, so another one is another task.
"""

import argparse
import json
import pickle
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts_sentences import train_sentences
from scripts_trainer import BATCH, LEARNING_RATE, opened, train_script
from smoke import complete, fetched, pairs_recipe_text, recipe_text

from kubetune.config.load import load_recipe
from kubetune.config.recipe import Recipe
from training import Clock, in_turns

ARMS = {
    "script": "script: batch 8, learning rate 5e-5",
    "equal": "script, batch and learning rate of the recipe",
    "grouped": "script in length groups (its cost alone)",
    "kubetune": "kubetune",
}
FILES = ("dataset", "weights", "tokenizer")


def train_kubetune(args: argparse.Namespace, recipe: Recipe) -> tuple[Any, dict[str, float]]:
    """Train with kubetune's own loop; return the module and what it took."""
    from kubetune.tasks.base import ModelSpec
    from kubetune.training.job import Job
    from kubetune.training.loop import train

    facts = json.loads((args.work / "dataset" / "dataset.json").read_text(encoding="utf-8"))
    changed = {"epochs": args.epochs, "steps": None, "seed": args.seed, "checkpoints": {"every_steps": 10**9}}
    settings = type(recipe.training)(**(recipe.training.model_dump(exclude_unset=True) | changed))
    output = args.folder / "model"
    output.mkdir()
    job = Job(
        spec=ModelSpec(
            task=recipe.task.name,
            labels=tuple(facts["labels"]),
            architecture=recipe.model.head.kind,
            head=recipe.model.head.model_dump(mode="json"),
            encoder_dropout=recipe.model.encoder_dropout,
            max_length=facts["max_length"],
            pad_token_id=facts["pad_token_id"],
        ),
        settings=settings,
        dataset=args.work / "dataset",
        weights=args.work / "weights",
        output=output,
        spool=args.folder / "spool",
        pad_token_id=facts["pad_token_id"],
    )
    clock = Clock(None)
    train(job, clock)
    task, _ = opened(args, recipe)
    module = task.build_model(job.spec, output, pretrained=False)
    return module, {"cpu_seconds": clock.seconds, "features": clock.rows}


def answered(args: argparse.Namespace, recipe: Recipe, module: Any) -> Any:
    """Return what a module's answers on the test rows come to."""
    import numpy as np

    from kubetune.tasks.base import Encoding
    from kubetune.tasks.inference import feature_losses, predict_outputs
    from kubetune.tasks.rows import read_rows

    task, labels = opened(args, recipe)
    facts = json.loads((args.work / "dataset" / "dataset.json").read_text(encoding="utf-8"))
    rows = read_rows(args.work / "dataset", "test", task, labels, places=True)
    outputs = predict_outputs(module, rows, task, facts["pad_token_id"], 32)
    encoding = Encoding(list(rows), rows.example.tolist(), [])
    texts = rows.texts_of(np.arange(rows.examples))
    return task.validation(outputs, encoding, feature_losses(task, outputs, rows), labels, texts)


def trainers(recipe: Recipe) -> dict[str, Any]:
    """Return what trains each arm that a recipe has."""
    if recipe.task.kind == "feature-extraction":
        return {"equal": train_sentences, "kubetune": train_kubetune}
    section = recipe.training
    script_has = (section.batch, section.learning_rate, section.warmup) == (BATCH, LEARNING_RATE, 0)
    arms = [arm for arm in ARMS if not (arm == "equal" and script_has)]
    return {arm: train_kubetune if arm == "kubetune" else train_script for arm in arms}


def run_arm(args: argparse.Namespace, recipe: Recipe) -> None:
    """Child process: run one arm and write what it came to."""
    with tempfile.TemporaryDirectory() as name:
        args.folder = Path(name)
        module, took = trainers(recipe)[args.arm](args, recipe)
        outcomes = None if args.arm == "grouped" else answered(args, recipe, module)
    args.result.write_bytes(pickle.dumps((took, outcomes)))


def compare(recipe: Recipe, work: Path, found: Mapping[tuple[str, int], Any], metric: str | None) -> dict[str, Any]:
    """Print costs, and the metric of each arm with kubetune's gain over it, mean of the seeds.

    The interval of a gain is a paired bootstrap over distinct test texts, all seeds under the same draws.
    """
    import numpy as np
    import pyarrow.parquet as pq

    from kubetune.evaluation.intervals import Draws, bootstrap, estimate
    from kubetune.evaluation.same_texts import same_words

    args = argparse.Namespace(work=work)
    task, labels = opened(args, recipe)
    statistics, columns = task.statistics(labels), ["text", "text_pair"][: len(task.columns)]
    metric = metric or statistics.main
    test = pq.read_table(work / "dataset" / "test.parquet", columns=columns)
    texts = same_words(zip(*(test[name].to_pylist() for name in columns), strict=True))
    systems = {f"{arm} {seed}": outcomes for (arm, seed), (_, outcomes) in found.items() if outcomes is not None}
    sampled = bootstrap(systems, statistics, Draws(2000, 0, texts)).metrics
    seeds = sorted({seed for _, seed in found})
    facts: dict[str, Any] = {"task": recipe.task.name, "metric": metric, "rows": len(texts), "seeds": len(seeds)}
    print(f"{recipe.task.name}: {len(texts)} test rows, {len(seeds)} seed(s)")
    print(f"{'':48} CPU-ms/feature  x cheaper  {metric:>10}  kubetune's gain")
    run = {arm for arm, _ in found}
    costs = {arm: np.mean([_cost(found[arm, seed][0]) for seed in seeds if (arm, seed) in found]) for arm in run}
    for arm, title in ((arm, title) for arm, title in ARMS.items() if arm in run):
        facts[arm] = {"cpu_ms": float(costs[arm])}
        line = f"{title:48} {costs[arm]:14.2f}  {costs[arm] / costs['kubetune']:9.2f}"
        if arm != "grouped":
            points = [float(statistics.measure(systems[f"{arm} {seed}"].total(), (metric,))[metric]) for seed in seeds]
            own = [float(statistics.measure(systems[f"kubetune {n}"].total(), (metric,))[metric]) for n in seeds]
            gains = np.mean([sampled[f"kubetune {n}"][metric] - sampled[f"{arm} {n}"][metric] for n in seeds], axis=0)
            gain = estimate(float(np.mean(own) - np.mean(points)), gains)
            facts[arm] |= {"values": points, "gain": gain.as_dict()}
            shown = "" if arm == "kubetune" else f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
            line += f"  {np.mean(points):10.4f}  {shown}"
        print(line.rstrip())
    return facts


def _cost(took: Mapping[str, float]) -> float:
    return 1000 * took["cpu_seconds"] / took["features"]


def smoke() -> int:
    """Run every arm on a few rows; figures of so little say nothing."""
    with tempfile.TemporaryDirectory() as name:
        recipe, pairs = Path(name) / "recipe.yaml", Path(name) / "pairs.yaml"
        recipe.write_text(recipe_text(Path(name)), encoding="utf-8")
        pairs.write_text(pairs_recipe_text(Path(name)), encoding="utf-8")
        figures = r" +\d+\.\d\d +\d+\.\d\d"
        gain = rf"{figures} +[01]\.\d{{4}} +[+-]0\.\d{{3}} \["
        script, equal = (f"^{re.escape(ARMS[arm])}{gain}" for arm in ("script", "equal"))
        lines = [script, equal, rf"^feature-extraction: .*\n.*\n{equal.removeprefix('^')}"]
        lines += [rf"^{re.escape(ARMS['grouped'])}{figures}$", rf"^{ARMS['kubetune']}{figures} +0\.\d{{4}}$"]
        few = ["--epochs", "1", "--grouped-steps", "2"]
        return complete(lambda: [main([str(path), *few]) for path in (recipe, pairs)], lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the arms and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--grouped-steps", type=int, default=60)
    parser.add_argument("--metric", help="of the task; the main one unless it is given")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--smoke", action="store_true", help="a tiny encoder and a few rows: shows that it runs")
    for hidden, kind in {"--arm": str, "--work": Path, "--seed": int, "--result": Path}.items():
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    args = parser.parse_intermixed_args(arguments)
    if args.smoke:
        return smoke()
    if args.recipe is None:
        parser.error("RECIPE is needed")
    recipe = load_recipe(args.recipe, args.overrides)
    if args.arm:
        run_arm(args, recipe)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = fetched(folder, "compared", FILES, recipe)
        results = {
            (arm, seed): folder / f"{arm}-{seed}"
            for seed in range(args.seeds)
            for arm in trainers(recipe)
            if not (arm == "grouped" and seed)
        }
        common = [args.recipe, *args.overrides, "--epochs", str(args.epochs), "--work", str(work)]
        common += ["--grouped-steps", str(args.grouped_steps)]
        for seed in range(args.seeds):
            here = {key: path for key, path in results.items() if key[1] == seed}
            in_turns(
                {
                    arm: [sys.executable, __file__, *common, "--arm", arm, "--seed", str(seed), "--result", str(path)]
                    for (arm, _), path in here.items()
                }
            )
        found = {key: pickle.loads(path.read_bytes()) for key, path in results.items()}
        facts = compare(recipe, work, found, args.metric)
    if args.json:
        args.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
