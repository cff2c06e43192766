"""Peak resident memory of `ingest` + `prepare` over a million short rows, each in a process of its own.

Usage: python benchmarks/prepare_memory.py MODEL_FOLDER [--rows N] [--task token-classification]

MODEL_FOLDER is a tokenizer in the layout of `save_pretrained`. Rows are tweets with one of three labels, or sentences
with entities in a CoNLL file. Prints peak memory and CPU-seconds a stage; exits 1 where a stage passes 2 GiB.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from smoke import complete, encoder

LIMIT_MIB = 2048
RECIPE = """
name: memory
task: {{kind: {task}}}
data:
  source: {{kind: files, paths: {{all: {data}}}}}
  cleaning: [{cleaning}]
model:
  source: {{kind: path, path: {model}}}
  max_length: 64
"""


def words_of(draw: random.Random) -> list[str]:
    """Return 20,000 made-up words."""
    return ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(20_000)]


def write_tweets(path: Path, rows: int) -> None:
    """Write `rows` short tweets as CSV, with about 2 % repeated texts, from a fixed seed."""
    draw = random.Random(0)
    words = words_of(draw)
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        former = "first"
        for row in range(rows):
            text = former if row % 50 == 0 else " ".join(draw.choices(words, k=draw.randint(5, 20)))
            former = text
            label = ("negative", "neutral", "positive")[draw.randrange(3)]
            file.write(f"@friend {text} &amp; https://example.org/{row},{label}\n")


def write_sentences(path: Path, rows: int) -> None:
    """Write `rows` sentences of 5 to 20 words as CoNLL, an entity of three types in one of two, from a fixed seed."""
    draw = random.Random(0)
    words = words_of(draw)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            sentence = draw.choices(words, k=draw.randint(5, 20))
            tags = ["O"] * len(sentence)
            if draw.random() < 0.5:
                start, kind = draw.randrange(len(sentence)), draw.choice(("person", "place", "group"))
                tags[start : start + 2] = [f"B-{kind}", f"I-{kind}"][: len(sentence) - start]
            file.writelines(f"{word}\t{tag}\n" for word, tag in zip(sentence, tags, strict=True))
            file.write("\n")


class Rows(NamedTuple):
    """How rows of a task are made.

    Attributes:
        file: Name of their file.
        write: Writes so many.
        cleaning: Of the recipe.
    """

    file: str
    write: Callable[[Path, int], None]
    cleaning: str


TASKS = {
    "text-classification": Rows("rows.csv", write_tweets, "html, unicode-nfc, urls, mentions, whitespace"),
    "token-classification": Rows("rows.conll", write_sentences, ""),
}


def run_stage(stage: str, task: str, folder: Path, model: Path) -> None:
    """Run one stage's body in this process and print its own peak memory and CPU time as JSON."""
    from kubetune.config.load import parse_recipe
    from kubetune.config.recipe import view
    from kubetune.stages import BY_NAME

    made = TASKS[task]
    recipe = parse_recipe(RECIPE.format(task=task, data=folder / made.file, cleaning=made.cleaning, model=model))
    row = BY_NAME[stage]
    inputs = {name: model if name == "tokenizer" else folder / name for name in row.inputs}
    outputs = {name: folder / name for name in row.outputs}
    scratch = folder / f"scratch-{stage}"
    for path in (*outputs.values(), scratch):
        path.mkdir()
    ignore: Any = lambda *_, **__: None  # noqa: E731
    context = SimpleNamespace(
        progress=SimpleNamespace(start=ignore, advance=ignore, note=ignore),
        telemetry=SimpleNamespace(record=ignore),
        scratch=scratch,
        platform={},
        should_stop=lambda: False,
    )
    module, _, name = row.entry.partition(":")
    started = time.perf_counter()
    result = getattr(import_module(module), name)(view(recipe, row.sections), inputs, outputs, context)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "stage": stage,
                "peak_mib": round(used.ru_maxrss / 1024),
                "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
                "seconds": round(time.perf_counter() - started, 1),
                **result.metrics,
            }
        )
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate the rows, run both stages, print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--smoke", action="store_true", help="a thousand rows and a tiny tokenizer: shows that it runs")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--task", choices=TASKS, default="text-classification")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.smoke:
        with tempfile.TemporaryDirectory() as name:
            model = str(encoder(Path(name)))
            stages = [rf'^{{"stage": "{stage}", "peak_mib": \d+, "cpu_seconds": ' for stage in ("ingest", "prepare")]
            shown = [*stages, r'"rows_train": [5-9]\d\d', r"^1,000 rows: peak \d+ MiB"]
            runs = [partial(main, [model, "--rows", "1000", "--task", task]) for task in TASKS]
            return max(complete(run, shown) for run in runs)
    if asked.model is None:
        parser.error("MODEL_FOLDER is needed")
    if asked.stage:
        run_stage(asked.stage, asked.task, asked.folder, asked.model)
        return 0
    worst = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        TASKS[asked.task].write(folder / TASKS[asked.task].file, asked.rows)
        for stage in ("ingest", "prepare"):
            command = [sys.executable, __file__, str(asked.model.resolve()), "--task", asked.task]
            command += ["--stage", stage, "--folder", name]
            line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
            print(line, flush=True)
            worst = max(worst, json.loads(line)["peak_mib"])
    print(f"{asked.rows:,} rows: peak {worst} MiB, allowed {LIMIT_MIB} MiB")
    return 0 if worst < LIMIT_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
