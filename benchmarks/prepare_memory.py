"""Peak resident memory of `ingest` + `prepare` over a million short rows, each in a process of its own.

Usage: python benchmarks/prepare_memory.py MODEL_FOLDER [--rows N]

MODEL_FOLDER is a tokenizer in the layout of `save_pretrained`. Prints peak memory and CPU-seconds a stage; exits 1
where a stage passes 2 GiB.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from smoke import complete, encoder

LIMIT_MIB = 2048
RECIPE = """
name: memory
data:
  source: {{kind: files, paths: {{all: {data}}}}}
  cleaning: [html, unicode-nfc, urls, mentions, whitespace]
model:
  source: {{kind: path, path: {model}}}
  max_length: 64
"""


def write_rows(path: Path, rows: int) -> None:
    """Write `rows` short tweets as CSV, with about 2 % repeated texts, from a fixed seed."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(20_000)]
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        former = "first"
        for row in range(rows):
            text = former if row % 50 == 0 else " ".join(draw.choices(words, k=draw.randint(5, 20)))
            former = text
            label = ("negative", "neutral", "positive")[draw.randrange(3)]
            file.write(f"@friend {text} &amp; https://example.org/{row},{label}\n")


def run_stage(stage: str, folder: Path, model: Path) -> None:
    """Run one stage's body in this process and print its own peak memory and CPU time as JSON."""
    from kubetune.config.load import parse_recipe
    from kubetune.config.recipe import view
    from kubetune.stages import BY_NAME

    recipe = parse_recipe(RECIPE.format(data=folder / "rows.csv", model=model))
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
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.smoke:
        with tempfile.TemporaryDirectory() as name:
            run = partial(main, [str(encoder(Path(name))), "--rows", "1000"])
            stages = [rf'^{{"stage": "{stage}", "peak_mib": \d+, "cpu_seconds": ' for stage in ("ingest", "prepare")]
            return complete(run, [*stages, r'"rows_train": [5-9]\d\d', r"^1,000 rows: peak \d+ MiB"])
    if asked.model is None:
        parser.error("MODEL_FOLDER is needed")
    if asked.stage:
        run_stage(asked.stage, asked.folder, asked.model)
        return 0
    worst = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.csv", asked.rows)
        for stage in ("ingest", "prepare"):
            command = [sys.executable, __file__, str(asked.model.resolve()), "--stage", stage, "--folder", name]
            line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
            print(line, flush=True)
            worst = max(worst, json.loads(line)["peak_mib"])
    print(f"{asked.rows:,} rows: peak {worst} MiB, allowed {LIMIT_MIB} MiB")
    return 0 if worst < LIMIT_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
