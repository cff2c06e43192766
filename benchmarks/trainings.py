"""What the gates say of sound trainings that differ in nothing but their seed.

    for n in 1 2 3 4 5; do
      kubetune run tweets training.seed=$n --run seed-$n --store STORE --until package
      kubetune pull seed-$n report behaviour --store STORE --to RUNS/seed-$n
      kubetune pull seed-$n archive --store STORE --to RUNS/seed-$n  # a refused one has none, and is in no pair
    done
    python benchmarks/trainings.py tweets RUNS/seed-*

or, in one process, which trains what is missing (the seed is the number at the end of a folder's name):

    python benchmarks/trainings.py ner-wnut RUNS/seed-{1,2,3,4,5} --train --set data.limit=1500 --set training.epochs=2

Alone: which trainings the recipe's bars refuse, which the suite's own bars would refuse, and which one bar for all of
its capabilities would. Paired: each training as
the candidate against each other one as the champion, through the body of stage `compare`, on the rows and the cases
that both met. Here every promotion and every lost capability is a false alarm in the sense that no one changed
anything; two trainings still are two models, whose true failure rates differ a little.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from smoke import complete, fetched, pulled, recipe_text

from kubetune.behaviour.chosen import chosen_suite
from kubetune.behaviour.record import judge_behaviour
from kubetune.config.load import load_recipe
from kubetune.config.recipe import Recipe
from kubetune.stages import compare

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from pipelines import Silent

LEARNT = ("training.epochs=6", "training.learning_rate=1e-2")
"""Of the toy's: trainings that have not learnt give equal answers."""
BARS = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Failure rates that are tried as the bar of every capability."""
CHAMPION = {"format": 1, "name": "benchmark", "version": 1, "run": "champion", "archive": "0" * 64, "earlier": 0}


def smoke() -> int:
    """Compare two tiny trainings; figures of so little say nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bars = dict.fromkeys(chosen_suite("sentiment", {}).capabilities)
        suite = ["behaviour.suite=sentiment", "behaviour.most=10", f"behaviour.bars={json.dumps(bars)}"]
        for seed in (1, 2):
            pulled(folder, f"seed-{seed}", ("report", "behaviour", "archive"), f"training.seed={seed}", *LEARNT, *suite)
        recipe = folder / "recipe.yaml"
        recipe.write_text(
            recipe_text(folder)
            + f"behaviour: {{suite: sentiment, most: 10, bars: {json.dumps(bars)}}}\n"
            + "promotion: {minimum_rows: 10, minimum_slice_rows: 5}\n"
        )
        tried = r" \| \d" * len(BARS)
        lines = [rf"^{re.escape(name)} \| \d+ \| \d\.\d{{3}} to \d\.\d{{3}} \| \d of 2{tried}$" for name in bars]
        lines += [rf"^{score} of 2 trainings: \d\.\d{{3}}, \d\.\d{{3}}$" for score in ("accuracy", "macro_f1")]
        lines += [r"^2 pairs, each as a first comparison: \{'\w+': [12]", r"^[\w ]+ \| \d \| \d \| \d \| \d$"]
        runs = [str(folder / f"seed-{seed}") for seed in (1, 2)]
        return complete(lambda: main([str(recipe), *runs, "--train"]), lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two tiny trainings: shows that it runs")
    parser.add_argument("recipe", nargs="?", help="that all runs were made with")
    parser.add_argument(
        "runs",
        type=Path,
        nargs="*",
        help="folders with report and behaviour of a run each, and its archive if it has one",
    )
    parser.add_argument("--train", action="store_true", help="train those that are missing, without their archives")
    parser.add_argument("--set", action="append", default=[], help="a change of the recipe; give it again for more")
    given = parser.parse_args(arguments)
    if given.smoke:
        return smoke()
    if len(given.runs) < 2:
        parser.error("RECIPE and at least two runs are needed, which are compared.")
    recipe = load_recipe(given.recipe, given.set)
    for run in given.runs if given.train else ():
        if not run.is_dir():
            train(given.recipe, given.set, run)
    alone(recipe, given.runs)
    paired(recipe, [run for run in given.runs if (run / "archive").is_dir()])
    return 0


def train(recipe: str, overrides: Sequence[str], run: Path) -> None:
    """Run the stages up to `behave` with the seed that a folder's name ends with."""
    seed = re.search(r"\d+$", run.name)
    if seed is None:
        raise SystemExit(f"{run.name} ends with no number, which would be the seed: call it seed-1.")
    began = time.process_time()
    run.parent.mkdir(parents=True, exist_ok=True)
    chosen = load_recipe(recipe, [*overrides, f"training.seed={seed.group()}"])
    fetched(run.parent, run.name, ("report", "behaviour"), chosen)
    print(f"{run.name}: {time.process_time() - began:.0f} CPU-seconds", flush=True)


def alone(recipe: Recipe, runs: Sequence[Path]) -> None:
    """Each training by itself."""
    reports = [read(run / "report" / "metrics.json")["metrics"] for run in runs]
    for name in dict.fromkeys(("accuracy", "macro_f1", recipe.training.best_metric)):
        if name not in reports[0]:
            continue
        values = [float(found[name]["value"]) for found in reports]
        print(f"{name} of {len(runs)} trainings: {', '.join(f'{value:.3f}' for value in values)}")
    found = [read(run / "behaviour" / "behaviour.json") for run in runs]
    asked = chosen_suite(recipe.behaviour.suite, recipe.behaviour.bars, recipe.behaviour.most)
    refused = [run.name for run, document in zip(runs, found, strict=True) if missed(asked, document)]
    print(f"{found[0]['scored']:,} texts each; refused by the recipe's bars: {len(refused)} {refused or ''}")
    suite = chosen_suite(recipe.behaviour.suite, {}, recipe.behaviour.most)
    own = [missed(suite, document) for document in found]
    tried = [
        [missed(chosen_suite(recipe.behaviour.suite, dict.fromkeys(suite.capabilities, bar)), one) for one in found]
        for bar in BARS
    ]
    print("\ncapability | cases | failure rate, least to most | refused by the suite's own bar | with a bar of", *BARS)
    for name in suite.capabilities:
        rates = sorted(document["capabilities"][name]["rate"] for document in found)
        cases = found[0]["capabilities"][name]["count"]
        at = " | ".join(str(sum(name in one for one in refusals)) for refusals in tried)
        told = f"{sum(name in one for one in own)} of {len(own)} | {at}"
        print(f"{name} | {cases} | {rates[0]:.3f} to {rates[-1]:.3f} | {told}")
    print("\ntest | cases | failure rate, least to most")
    for number, outcome in enumerate(found[0]["outcomes"]):
        rates = sorted(document["outcomes"][number]["rate"] for document in found)
        print(f"{outcome['test']} | {outcome['count']} | {rates[0]:.3f} to {rates[-1]:.3f}")


def missed(suite: Any, document: Mapping[str, Any]) -> set[str]:
    """Return the capabilities that the suite's bars refuse."""
    outcomes = [SimpleNamespace(**outcome) for outcome in document["outcomes"]]
    return {reason.partition(": ")[0] for reason in judge_behaviour(suite, SimpleNamespace(outcomes=outcomes)).reasons}


def paired(recipe: Recipe, runs: Sequence[Path]) -> None:
    """Each ordered pair through the stage."""
    outcomes, states = Counter[str](), dict[str, Counter[str]]()
    pairs = list(permutations(runs, 2))
    for candidate, champion in pairs:
        document = compared(recipe, candidate, champion)
        outcomes[document["outcome"]] += 1
        for judged in document["document"].get("guards", ()):  # none where too few rows, or equal answers, decide
            states.setdefault(judged["guard"]["name"], Counter())[judged["state"]] += 1
    print(f"\n{len(pairs)} pairs, each as a first comparison: {dict(outcomes)}")
    print("guard | holds | open | lost | small")
    for name, counts in states.items():
        print(" | ".join([name, *(str(counts[state]) for state in ("holds", "open", "lost", "small"))]))


def compared(recipe: Recipe, candidate: Path, champion: Path) -> dict[str, Any]:
    """Return `decision.json` of a pair."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("archive", "report", "behaviour"):
            (folder / "champion" / part).parent.mkdir(exist_ok=True)
            (folder / "champion" / part).symlink_to((champion / part).resolve())
        (folder / "champion" / "champion.json").write_text(json.dumps(CHAMPION), encoding="utf-8")
        (folder / "decision").mkdir()
        inputs = {name: candidate / name for name in ("report", "behaviour")}
        inputs |= {"model": candidate / "archive", "champion": folder / "champion"}
        context = SimpleNamespace(should_stop=lambda: False, progress=Silent())
        compare.run(recipe, inputs, {"decision": folder / "decision"}, context)
        return read(folder / "decision" / "decision.json")


def read(path: Path) -> dict[str, Any]:
    """Return a JSON document."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
