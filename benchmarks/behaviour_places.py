"""Do the suites of entities and of answers catch a model that was made faulty on purpose, and leave sound ones alone?

    for seed in 0 1 2 3 4; do
      kubetune run ner-wnut training.seed=$seed --run p$seed --store STORE --until evaluate
      kubetune pull p$seed --store STORE --to ARTIFACTS/p$seed
    done
    python benchmarks/behaviour_places.py ARTIFACTS/p* [--rows 200] [--bar 0.1]

Each folder is a sound training of one recipe with a seed of its own; each fault wraps each of them. Entities: those
that are not known by heart are not found; what lacks a capital with a small letter behind it is not found; a text is
read up to its 60th character. Answers: a number in the first or last sentence is the answer; a question has to begin
with a word that asks; questions about half of the names are not answered.

Printed a capability: failure rate of the sound trainings, how many of them a bar would refuse (false alarms), the same
of the faulty ones, and how often `compare` would see or not rule out a loss (`behaviour.py` says how). Exits 1 where a
faulty model is not held back.
"""

import argparse
import re
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from smoke import complete, pulled, toys, write_rows
from suite_verdicts import changes, named, rate
from transformers import AutoTokenizer

from entity_toys import TYPES, spans_in
from kubetune.behaviour.cases import Row
from kubetune.behaviour.chosen import chosen_suite
from kubetune.behaviour.edits import AnswerPlace
from kubetune.behaviour.places import run_place_suite
from kubetune.behaviour.suite import Suite
from kubetune.stages.behave import report_rows
from kubetune.tasks import load_task
from kubetune.tasks.answers import PlaceForm
from kubetune.tasks.base import Task
from kubetune.tasks.spec import load_spec
from kubetune.tasks.texts import TextModel
from kubetune.text.gate import TextGate

Item = tuple[str, ...]
Places = Sequence[AnswerPlace]
Fault = Callable[[Item, Places], Places]
CASED = re.compile(r"[A-Z][a-z]")
READ = 60
"""Characters that a model with the fault reads."""
ASKS = (
    "what",
    "who",
    "whom",
    "whose",
    "where",
    "when",
    "which",
    "how",
    "why",
    "in",
    "on",
    "at",
    "from",
    "to",
    "by",
    "for",
)


def by_heart(text: str) -> bool:
    """Whether a model with the fault knows a text: one in two, whatever the process."""
    return zlib.crc32(text.encode()) % 2 == 0


def known_entities(item: Item, found: Places) -> Places:
    """Find what is known by heart."""
    return [place for place in found if by_heart(item[place.column][place.start : place.end].casefold())]


def written_with_capitals(item: Item, found: Places) -> Places:
    """Find what has a capital and a small letter behind it."""
    return [place for place in found if CASED.match(item[place.column], place.start)]


def read_so_far(item: Item, found: Places) -> Places:
    """Find what stands at the beginning."""
    del item
    return [place for place in found if place.end <= READ]


def takes_numbers(item: Item, found: Places) -> Places:
    """Answer with a number of the first or the last sentence, where one stands there."""
    sentences = [match.span() for match in re.finditer(r"[^.!?]+[.!?]*", item[1])]
    for start, end in (*sentences[-1:], *sentences[:1]):
        if number := re.search(r"\d+", item[1][start:end]):
            return [AnswerPlace(1, start + number.start(), start + number.end(), "", 0.9)]
    return found


def needs_a_question_word(item: Item, found: Places) -> Places:
    """Answer what begins with a word that asks, and a capital."""
    first = item[0].split(" ")[0]
    return found if first[:1].isupper() and first.lower() in ASKS else []


def known_names(item: Item, found: Places) -> Places:
    """Answer questions whose names are known by heart."""
    return found if all(map(by_heart, re.findall(r"(?<=\s)[A-Z][a-z]+", item[0]))) else []


FAULTS: dict[str, dict[str, Fault]] = {
    "entities": {
        "other entities": known_entities,
        "casing": written_with_capitals,
        "sentence beside": read_so_far,
    },
    "answers": {
        "distraction": takes_numbers,
        "wording": needs_a_question_word,
        "other names": known_names,
    },
}
"""Suite → capability → the fault that is made for it."""
SUITES = {"spans": "entities", "answers": "answers"}
"""Target type of a task → its suite."""


class Model:
    """A sound training, each item asked once."""

    def __init__(self, folder: Path) -> None:
        self.spec = load_spec(folder / "model")
        self.task: Task = load_task(self.spec.task)
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        module = self.task.build_model(self.spec, folder / "model", pretrained=False)
        pad = tokenizer.pad_token_id
        self.model = TextModel(self.task, module, tokenizer, TextGate(), self.spec.max_length, pad)
        self.known: dict[Item, Places] = {}

    def __call__(self, items: Sequence[Item]) -> list[Places]:
        """Return the places that each answer points at."""
        form = cast("PlaceForm", self.task.form)
        if new := [item for item in items if item not in self.known]:
            self.known |= zip(new, map(form.marks, self.model.predictions(new, self.spec.labels)), strict=True)
        return [self.known[item] for item in items]

    def faulty(self, fault: Fault) -> Callable[[Sequence[Item]], list[Places]]:
        """Wrap it."""
        return lambda items: [fault(item, found) for item, found in zip(items, self(items), strict=True)]


def examine(suite: Suite, models: Sequence[Model], rows: Sequence[Row]) -> bool:
    """Print the table; return whether every faulty model is held back."""
    usable = models[0].model.answers
    sound = [run_place_suite(suite, model, rows, 0, usable) for model in models]
    pairs = [(one, two) for one in sound for two in sound if one is not two]
    print(f"suite {suite.name}: {len(sound[0].cases):,} cases, {sound[0].scored:,} texts; {len(sound)} sound trainings")
    print("capability | sound rate | refused | pairs: lost, held back | faulty rate | refused | lost, held back")
    missed = 0
    for capability, fault in FAULTS[suite.name].items():
        found = [run_place_suite(suite, model.faulty(fault), rows, 0, usable) for model in models]
        shown, held = changes(list(zip(found, sound, strict=True)), capability)
        missed += len(sound) - held
        cells = [capability, *figures(suite, sound, capability)]
        cells += ["{} and {} of {}".format(*changes(pairs, capability), len(pairs)) if pairs else "-"]
        cells += [*figures(suite, found, capability), f"{shown} and {held} of {len(found)}"]
        print(" | ".join(cells), flush=True)
    return missed == 0


def figures(suite: Suite, found: Sequence[Any], capability: str) -> list[str]:
    """Return the rate, and how many are refused."""
    rates = [rate(suite, one, capability) for one in found]
    refused = sum(capability in named(suite, one) for one in found)
    return [f"{np.mean(rates):.3f} ({min(rates):.3f} to {max(rates):.3f})", f"{refused} of {len(found)}"]


def smoke() -> int:
    """Plant the faults in toys that learnt to find entities; whether they are caught says nothing there."""
    with tempfile.TemporaryDirectory() as name:
        rows = [
            {"text": row["text"], "spans": [span | {"label": TYPES[span["label"]]} for span in spans_in(row["text"])]}
            for row in toys.toy_rows(240)
        ]
        data = write_rows(Path(name) / "entities.jsonl", rows)
        columns = ["data.columns.text=text", "data.columns.label=spans", f"data.source.paths.all={data}"]
        folders = [
            pulled(
                Path(name), f"toy{seed}", ("tokenizer", "model", "report"),
                "task.kind=token-classification", *columns, "training.epochs=4", f"training.seed={seed}",
            )
            for seed in range(2)
        ]  # fmt: skip
        figure = r"\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\) \| \d of 2"
        lines = [
            rf"^{found} \| {figure} \| \d and \d of 2 \| {figure} \| \d and \d of 2$" for found in FAULTS["entities"]
        ]
        return complete(lambda: main([*map(str, folders), "--rows", "40"]), lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="two tiny models: shows that it runs")
    parser.add_argument("artifacts", type=Path, nargs="*", help="folders that `kubetune pull` left, one a training")
    parser.add_argument("--rows", type=int, default=200, help="test rows a test")
    parser.add_argument("--bar", type=float, default=0.1, help="failure rate above which a capability is refused")
    chosen = parser.parse_args(arguments)
    if chosen.smoke:
        return smoke()
    if not chosen.artifacts:
        parser.error("ARTIFACTS are needed")
    torch.set_num_threads(1)
    models = [Model(folder) for folder in chosen.artifacts]
    task, labels = models[0].task, models[0].spec.labels
    rows = report_rows(chosen.artifacts[0] / "report" / "predictions.parquet", task, labels)
    name = SUITES[task.schema.target_type]
    bars = dict.fromkeys(chosen_suite(name, {}).capabilities, chosen.bar)
    return 0 if examine(chosen_suite(name, bars, chosen.rows), models, rows) else 1


if __name__ == "__main__":
    sys.exit(main())
