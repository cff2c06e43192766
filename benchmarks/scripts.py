"""A task's training beside the script of Hugging Face that does the same work: what a row costs, what is learnt.

    python benchmarks/scripts.py RECIPE [SECTION.FIELD=VALUE ...] [--epochs 3] [--seeds 1] [--json FILE] | --smoke

RECIPE is one of `text-classification`, `pair-classification`, `token-classification` or `question-answering`. Its data
are ingested and prepared once, by the stages; all arms train on those features and are measured on its test rows by
its task. Arms take turns (see `training.py`), and CPU seconds are of the optimizer steps alone:

- script: `Trainer` as run_glue, run_ner and run_qa set it: batch 8, learning rate 5e-5 without warmup, fp32, random
  order, padded to the longest of a batch (run_qa: to `model.max_length`), the architecture's own loss.
- equal: the script with the recipe's batch, learning rate and warmup; left out where the script has them itself.
- grouped: the script with `Trainer`'s own length groups; its cost alone, of `--grouped-steps` steps.
- kubetune: the recipe.
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

from smoke import complete, fetched, recipe_text
from training_trainer import clock_steps

from kubetune.config.load import load_recipe
from kubetune.config.recipe import Recipe
from training import Clock, in_turns

ARMS = {
    "script": "script: batch 8, learning rate 5e-5",
    "equal": "script, batch and learning rate of the recipe",
    "grouped": "script in length groups (its cost alone)",
    "kubetune": "kubetune",
}
BATCH, LEARNING_RATE = 8, 5e-5
"""Of the scripts where nothing else is asked."""
FILES = ("dataset", "weights", "tokenizer")


def train_script(args: argparse.Namespace, recipe: Recipe) -> tuple[Any, dict[str, float]]:
    """Train as the script does; return the module, with outputs as kubetune's, and what it took."""
    import torch
    from transformers import (
        AutoModelForQuestionAnswering,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        AutoTokenizer,
        DataCollatorForTokenClassification,
        DataCollatorWithPadding,
        Trainer,
    )
    from transformers.utils import logging

    from kubetune.tasks.encoder import StockClassifier

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    models = {
        "text-classification": AutoModelForSequenceClassification,
        "token-classification": AutoModelForTokenClassification,
        "question-answering": AutoModelForQuestionAnswering,
    }
    task, labels = opened(args, recipe)
    head = task.head(labels)
    tokenizer = AutoTokenizer.from_pretrained(args.work / "tokenizer", local_files_only=True)
    collators = {
        "text-classification": DataCollatorWithPadding(tokenizer),
        "token-classification": DataCollatorForTokenClassification(tokenizer),
        "question-answering": DataCollatorWithPadding(tokenizer, "max_length", recipe.model.max_length),
    }
    items, seconds = script_items(args.work / "dataset", task, labels), [0.0, 0.0]
    trainer = Trainer(
        model=models[head.stock].from_pretrained(args.work / "weights", num_labels=len(head.names)),
        args=script_arguments(args, recipe),
        train_dataset=items,
        data_collator=collators[head.stock],
        callbacks=[clock_steps(seconds)],
    )
    trainer.train()
    steps = int(trainer.state.global_step)
    rows = min(steps * trainer.args.per_device_train_batch_size, round(len(items) * args.epochs))
    return StockClassifier(trainer.model), {"cpu_seconds": seconds[1] - seconds[0], "features": rows}


def script_arguments(args: argparse.Namespace, recipe: Recipe) -> Any:
    """Return `TrainingArguments` of an arm."""
    from transformers import TrainingArguments

    equal, section = args.arm == "equal", recipe.training
    return TrainingArguments(
        output_dir=str(args.folder),
        per_device_train_batch_size=section.batch if equal else BATCH,
        learning_rate=section.learning_rate if equal else LEARNING_RATE,
        warmup_steps=section.warmup if equal else 0,
        num_train_epochs=args.epochs,
        max_steps=args.grouped_steps if args.arm == "grouped" else -1,
        train_sampling_strategy="group_by_length" if args.arm == "grouped" else "random",
        seed=args.seed,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
    )


def script_items(dataset: Path, task: Any, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return the train split's features as the scripts' collators and models take them."""
    from kubetune.tasks.rows import read_rows
    from kubetune.tasks.windows import FIRST, LAST

    items = []
    for feature in read_rows(dataset, "train", task, labels):
        item = {name: feature[name].tolist() for name in ("input_ids", "token_type_ids") if name in feature}
        if "tags" in feature:
            item["labels"] = feature["tags"].tolist()
        elif "marks" in feature:  # token 0 where the window holds no answer
            marks = (feature["marks"] * (feature["marks"] > 0)).tolist()
            item["start_positions"] = next((at for at, mark in enumerate(marks) if mark & FIRST), 0)
            item["end_positions"] = next((at for at, mark in enumerate(marks) if mark & LAST), 0)
        else:
            item["labels"] = int(feature["label"][0])
        items.append(item)
    return items


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


def opened(args: argparse.Namespace, recipe: Recipe) -> tuple[Any, tuple[str, ...]]:
    """Return the recipe's task, and the labels of what was prepared."""
    from kubetune.tasks import load_task

    facts = json.loads((args.work / "dataset" / "dataset.json").read_text(encoding="utf-8"))
    return load_task(recipe.task.name), tuple(facts["labels"])


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


def run_arm(args: argparse.Namespace, recipe: Recipe) -> None:
    """Child process: run one arm and write what it came to."""
    with tempfile.TemporaryDirectory() as name:
        args.folder = Path(name)
        module, took = (train_kubetune if args.arm == "kubetune" else train_script)(args, recipe)
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
        recipe = Path(name) / "recipe.yaml"
        recipe.write_text(recipe_text(Path(name)), encoding="utf-8")
        figures = r" +\d+\.\d\d +\d+\.\d\d"
        lines = [rf"^{re.escape(ARMS[arm])}{figures} +0\.\d{{4}} +[+-]0\.\d{{3}} \[" for arm in ("script", "equal")]
        lines += [rf"^{re.escape(ARMS['grouped'])}{figures}$", rf"^{ARMS['kubetune']}{figures} +0\.\d{{4}}$"]
        return complete(lambda: main([str(recipe), "--epochs", "1", "--grouped-steps", "2"]), lines)


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
        section = recipe.training
        same = (section.batch, section.learning_rate, section.warmup) == (BATCH, LEARNING_RATE, 0)
        results = {
            (arm, seed): folder / f"{arm}-{seed}"
            for seed in range(args.seeds)
            for arm in ARMS
            if not (arm == "grouped" and seed) and not (arm == "equal" and same)
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
