"""Samples a second of training steps whose threads sleep while they wait for each other, and of such that spin.

On an idle machine, beside one niced process (as MLflow's mirror is) and beside one that keeps a CPU busy. The arms take
turns, each in a process of its own, since OpenMP reads its settings once. A step: a BERT encoder of MiniLM's size, 32
rows of 26 tokens, forward, backward and AdamW. The row "kubetune" is what
`kubetune.config.cpus.thread_waiting` chooses then.

    python benchmarks/waiting.py --rounds 3 --seconds 8
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import torch
from smoke import complete

from kubetune.config.cpus import SPINS, cpu_quota_threads, thread_waiting
from kubetune.tasks.hardware import native_bf16
from kubetune.tracking.beside import NICE

SLEEP = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
SPIN = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": SPINS}
ROWS, TOKENS = 32, 26
LOOP = "while True: pass"
OTHERS = {"nothing": None, "a niced process": f"import os; os.nice({NICE})\n{LOOP}", "a busy process": LOOP}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all arms in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--steps", action="store_true", help="an arm: train for these seconds, print its two figures")
    parser.add_argument("--smoke", action="store_true", help="a moment beside a busy process: shows that it runs")
    options = parser.parse_args(arguments)
    if options.steps:
        print(*steps(options.seconds))
        return 0
    if options.smoke:
        beside = "a busy process"
        lines = [rf"^{beside} \| {name} \| \d+\.\d \| \d+\.\d$" for name in ("sleep", "spin", "kubetune")]
        return complete(lambda: table({beside: OTHERS[beside]}, 1, 0.2), lines)
    table(OTHERS, options.rounds, options.seconds)
    return 0


def table(beside_what: Mapping[str, str | None], rounds: int, seconds: float) -> None:
    """Measure the arms beside each of some processes."""
    print(f"{cpu_quota_threads()} threads; medians of {rounds} rounds of {seconds:g} s")
    print("beside | threads | samples/s | CPU-ms a sample")
    for beside, body in beside_what.items():
        found: dict[str, list[tuple[float, float]]] = {}
        others = [subprocess.Popen([sys.executable, "-c", body])] if body else []
        try:
            for _ in range(rounds):
                for name, waiting in (("sleep", SLEEP), ("spin", SPIN), ("kubetune", thread_waiting())):
                    found.setdefault(name, []).append(arm(waiting, seconds))
        finally:
            for process in others:
                process.kill()
                process.wait()
        for name, figures in found.items():
            rate, cost = (statistics.median(column) for column in zip(*figures, strict=True))
            print(f"{beside} | {name} | {rate:.1f} | {cost:.1f}", flush=True)


def arm(waiting: dict[str, str], seconds: float) -> tuple[float, float]:
    """Return samples a second and CPU-milliseconds a sample of a process with these variables."""
    command = [sys.executable, __file__, "--steps", "--seconds", str(seconds)]
    said = subprocess.run(command, env=os.environ | waiting, capture_output=True, text=True, check=True).stdout
    rate, cost = said.split()
    return float(rate), float(cost)


def steps(seconds: float) -> tuple[float, float]:
    """Train for `seconds` after one step of warming up."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.set_num_threads(cpu_quota_threads())
    torch.manual_seed(0)
    size = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    config = BertConfig(**size, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager")
    model = BertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids, labels = torch.randint(0, config.vocab_size, (ROWS, TOKENS)), torch.randint(0, 2, (ROWS,))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=native_bf16("cpu")):
            loss = model(ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    began, cpu, count = time.monotonic(), time.process_time(), 0
    while time.monotonic() - began < seconds:
        step()
        count += 1
    samples = count * ROWS
    return samples / (time.monotonic() - began), 1000 * (time.process_time() - cpu) / samples


if __name__ == "__main__":
    raise SystemExit(main())
