"""Does the sentiment suite catch a real model that was made faulty on purpose, and leave sound ones alone?

    kubetune run tweets data.limit=4000 --run b1 --store STORE --until evaluate
    kubetune pull b1 --store STORE --to ARTIFACTS
    python benchmarks/behaviour.py ARTIFACTS [--seeds 5] [--train 1000] [--rows 80] [--most 100]

The encoder of the run is kept; a sound seed is a head of its own (logistic regression) on a bootstrap sample of the
training rows, so that five seeds cost little more than one. Each fault wraps each seed: negations are not read; the
answer turns on a given name; it turns on a word that is none (a typo); only the first five words are read.

Two ways to catch a fault are counted. Absolute: the gate with the suite's own bars names the capability. Paired, by
what `compare` asks of the same cases of the sound twin: "lost" is a loss above MARGIN that is shown at LEVEL, where the
two models' answers are exchanged a template (or test row) at a time; "held back" is a loss of MARGIN that is not ruled
out at LEVEL, which is enough to keep a candidate from promotion. The same is counted for pairs of two sound seeds.
Exits 1 where a faulty model is not held back.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from sklearn.linear_model import LogisticRegression
from smoke import complete, pulled
from suite_verdicts import changes, named, rate
from transformers import AutoTokenizer

from kubetune.behaviour.cases import Row, cases_of
from kubetune.behaviour.chosen import chosen_suite
from kubetune.behaviour.run import run_suite
from kubetune.behaviour.suite import Suite
from kubetune.behaviour.words import free_words
from kubetune.config.load import load_recipe
from kubetune.tasks import load_task
from kubetune.tasks.classification import softmax
from kubetune.tasks.spec import load_spec
from kubetune.tasks.texts import TextModel
from kubetune.text.gate import TextGate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "behaviour"))
import rule_classifiers as rules

Item = tuple[str, ...]
Score = Callable[[Sequence[Item]], np.ndarray]
FAULTS = ("negation", "names and places", "typos", "whole text")
"""Each named by the capability that is made for it."""


class Encoder:
    """What a frozen model makes of texts, each computed once."""

    def __init__(self, model: TextModel) -> None:
        head = next(name for name, _ in model.module.named_modules() if name.endswith("classifier"))
        model.module.set_submodule(head, torch.nn.Identity())
        self.model, self.known = model, dict[Item, np.ndarray]()

    def __call__(self, items: Sequence[Item]) -> np.ndarray:
        """Return (items, units), float32; a text without an answer is that of the empty text."""
        asked = [item if self.model.answers(item) else (".",) * len(item) for item in items]
        new = list(dict.fromkeys(item for item in asked if item not in self.known))
        if new:
            self.known |= zip(new, self.model.outputs(new)[0], strict=True)
        return np.stack([self.known[item] for item in asked])


def sound_seed(encoder: Encoder, rows: Sequence[Row], labels: Sequence[str], seed: int) -> Score:
    """Fit a head on a bootstrap sample."""
    drawn = np.random.default_rng(seed).integers(len(rows), size=len(rows))
    features = encoder([row.texts for row in rows])[drawn]
    numbers = np.array([labels.index(row.label or "") for row in rows])[drawn]
    head = LogisticRegression(C=0.1, max_iter=500).fit(features, numbers)
    weights, bias = head.coef_, head.intercept_
    if len(labels) == 2:  # scikit-learn keeps one column of logits for two classes
        weights, bias = np.vstack([-weights / 2, weights / 2]), np.concatenate([-bias / 2, bias / 2])
    return lambda items: softmax(encoder(items) @ weights.T + bias)


def faulty(fault: str, score: Score, seed: int, vocabulary: set[str]) -> Score:
    """Wrap a sound model."""
    if fault == "negation":
        return rules.ignores_negation(score)
    if fault == "names and places":
        return rules.keys_on(rules.NAMED[seed % len(rules.NAMED)], score)
    if fault == "typos":
        return rules.flips_on_typo(score, vocabulary)
    return rules.reads_five_words(score)


def known_words(suite: Suite, rows: Sequence[Row]) -> set[str]:
    """Return every word of the texts, except those that a typo made."""
    words: set[str] = set()
    for test in suite.tests:
        for case in cases_of(test, suite, rows, 0).cases:
            items = (case.item,) if getattr(test, "perturb", "").startswith("typo") else (case.item, *case.variants)
            words |= {found.group().lower() for item in items for text in item for found in free_words(text)}
    return words


def smaller(suite: Suite, most: int) -> Suite:
    """Bound the cases out of templates, which makes a fault harder to prove, never easier."""
    return suite.model_copy(update={"tests": [test.model_copy(update={"most": most}) for test in suite.tests]})


def examine(
    suite: Suite, rows: Sequence[Row], seeds: Sequence[Score], labels: Sequence[str], faults: Sequence[str] = FAULTS
) -> bool:
    """Print the table; return whether every faulty model is held back."""
    vocabulary = known_words(suite, rows)
    sound = [run_suite(suite, score, rows, 0, labels) for score in seeds]
    pairs = [(one, two) for one in sound for two in sound if one is not two]
    print(f"{len(sound[0].cases):,} cases, {sound[0].scored:,} texts; {len(sound)} sound seeds")
    heads = (
        "capability",
        "sound rate",
        "refused",
        "pairs: lost, held back",
        "faulty rate",
        "refused",
        "lost, held back",
    )
    print(" | ".join(heads))
    missed = 0
    for capability in suite.capabilities:
        rates = [rate(suite, found, capability) for found in sound]
        cells = [f"{np.mean(rates):.3f} ({min(rates):.3f} to {max(rates):.3f})"]
        cells += [f"{sum(capability in named(suite, found) for found in sound)} of {len(sound)}"]
        cells += ["{} and {} of {}".format(*changes(pairs, capability), len(pairs))]
        if capability in faults:
            wrapped = [faulty(capability, score, seed, vocabulary) for seed, score in enumerate(seeds)]
            found = [run_suite(suite, score, rows, 0, labels) for score in wrapped]
            shown, held = changes(list(zip(found, sound, strict=True)), capability)
            missed += len(sound) - held
            rates = [rate(suite, bad, capability) for bad in found]
            cells += [f"{np.mean(rates):.3f} ({min(rates):.3f} to {max(rates):.3f})"]
            cells += [f"{sum(capability in named(suite, bad) for bad in found)} of {len(found)}"]
            cells += [f"{shown} and {held} of {len(found)}"]
        print(" | ".join([capability, *cells]), flush=True)
    return missed == 0


def read_rows(table: Path, labels: Sequence[str], most: int) -> list[Row]:
    """Return some rows of a split with the names of their labels; the file is in the order of the source."""
    found = pq.read_table(table, columns=["raw_text", "label"]).to_pylist()
    chosen = np.random.default_rng(0).permutation(len(found))[:most]
    found = [found[place] for place in sorted(chosen)]
    return [Row((row["raw_text"],), labels[row["label"]]) for row in found]


def smoke() -> int:
    """Plant the faults in a tiny model that learnt toy rows; whether they are caught says nothing there."""
    with tempfile.TemporaryDirectory() as name:
        artifacts = pulled(Path(name), "toy", ("dataset", "tokenizer", "model"), "training.epochs=1")
        few = ["--seeds", "2", "--train", "60", "--rows", "10", "--most", "4"]
        capabilities = chosen_suite("sentiment", {}).capabilities
        sound = r" \| \d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\) \| \d of 2"
        pairs = r" \| \d and \d of 2"
        alone = dict.fromkeys(capabilities, "") | dict.fromkeys(FAULTS, sound + pairs)
        lines = [rf"^{name}{sound}{pairs}{rest}$" for name, rest in alone.items()]
        assert set(FAULTS) <= set(capabilities)
        return complete(lambda: main([str(artifacts), *few]), [*lines, r"^\d+ CPU-seconds$"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a tiny model and few cases: shows that it runs")
    parser.add_argument("artifacts", type=Path, nargs="?", help="what `kubetune pull` left: dataset, tokenizer, model")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--train", type=int, default=1000, help="training rows of the heads")
    parser.add_argument("--rows", type=int, default=80, help="test rows that tests may draw")
    parser.add_argument("--most", type=int, default=100, help="cases a test out of templates")
    chosen = parser.parse_args(arguments)
    if chosen.smoke:
        return smoke()
    if chosen.artifacts is None:
        parser.error("ARTIFACTS are needed")
    torch.set_num_threads(1)
    started = time.process_time()
    task, spec = load_task("text-classification"), load_spec(chosen.artifacts / "model")
    recipe = load_recipe("tweets")
    module = task.build_model(spec, chosen.artifacts / "model", pretrained=False)
    tokenizer = AutoTokenizer.from_pretrained(chosen.artifacts / "tokenizer", local_files_only=True)
    pad = tokenizer.pad_token_id
    model = TextModel(task, module, tokenizer, TextGate(tuple(recipe.data.cleaning)), recipe.model.max_length, pad)
    encoder = Encoder(model)
    train, test = (chosen.artifacts / "dataset" / f"{name}.parquet" for name in ("train", "test"))
    learnt = read_rows(train, spec.labels, chosen.train)
    seeds = [sound_seed(encoder, learnt, spec.labels, seed) for seed in range(chosen.seeds)]
    rows = read_rows(test, spec.labels, chosen.rows)
    every = read_rows(test, spec.labels, 300)
    right = [
        np.mean(score([row.texts for row in every]).argmax(1) == [spec.labels.index(row.label or "") for row in every])
        for score in seeds
    ]
    print(f"{len(learnt):,} training rows; accuracy of the sound seeds {min(right):.3f} to {max(right):.3f}")
    done = examine(smaller(chosen_suite("sentiment", {}), chosen.most), rows, seeds, spec.labels)
    print(f"{time.process_time() - started:.0f} CPU-seconds")
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
