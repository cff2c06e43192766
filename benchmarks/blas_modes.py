"""What equal bits cost: MKL's modes (`MKL_CBWR`) side by side, and which of them does not mind where weights lie.

A step: an encoder of MiniLM's size, 32 rows of 26 tokens in fp32; once trained (forward, backward, AdamW), once only
answered. The arms take turns, each in a process of its own, since MKL reads its mode once. Weights are then placed at
every multiple of 8 bytes modulo 64, which is where a mapped safetensors file may put them, and answered with again.

    python benchmarks/blas_modes.py --rounds 5 --seconds 4
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import torch
from smoke import complete
from torch import nn

from kubetune.tasks.hardware import blas_mode, cpu_capability, cpu_vendor
from kubetune.tasks.weights import own_storage

MODES = ("", "AUTO", "AUTO,STRICT")
ROWS, TOKENS = 32, 26
ALIGNMENT, HEADER = 64, 8
"""Bytes: what torch aligns storage of its own to, and what safetensors pads its header to."""
SIZE = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all arms in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--smoke", action="store_true", help="a tiny encoder, one short round: shows that it runs")
    parser.add_argument("--arm", action="store_true", help="measure one mode, in this process, and print JSON")
    options = parser.parse_args(arguments)
    if options.arm:
        print(json.dumps(measure(options.seconds, options.smoke)))
        return 0
    if options.smoke:
        figures = r"( \| \d+\.\d+){4} \| \d of 7 \| 0 of 7"
        names = ("not set", "AUTO", "AUTO,STRICT")
        return complete(lambda: table(1, 0.2, True), [rf"^{name}{figures}$" for name in names])
    table(options.rounds, options.seconds, False)
    return 0


def table(rounds: int, seconds: float, small: bool) -> None:
    """Measure the modes in turns and print a line each."""
    found: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    for _ in range(rounds):
        for mode in MODES:
            found[mode].append(arm(mode, seconds, small))
    print(f"{cpu_vendor()}, {cpu_capability()}, {blas_mode()}")
    print(f"medians of {rounds} rounds of 2 x {seconds:g} s")
    print(
        "MKL_CBWR | CPU-ms a trained sample | x | CPU-ms an answered sample | x | offsets with other bits | own storage"
    )
    for mode, figures in found.items():
        train, answer = (statistics.median(item[name] for item in figures) for name in ("train", "answer"))
        ratios = {
            name: statistics.median(item[name] / plain[name] for item, plain in zip(figures, found[""], strict=True))
            for name in ("train", "answer")
        }
        print(
            f"{mode or 'not set'} | {train:.2f} | {ratios['train']:.3f} | {answer:.2f} | {ratios['answer']:.3f} | "
            f"{figures[0]['mapped']:.0f} of 7 | {figures[0]['owned']:.0f} of 7",
            flush=True,
        )
    assert all(figures[0]["owned"] == 0 for figures in found.values()), (
        "weights in storage of their own gave other bits"
    )


def arm(mode: str, seconds: float, smoke: bool) -> dict[str, float]:
    """Return the figures of a process in this mode."""
    command = [sys.executable, __file__, "--arm", "--seconds", str(seconds), *(["--smoke"] if smoke else [])]
    variables = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    variables |= {"OMP_NUM_THREADS": "1"} | ({"MKL_CBWR": mode} if mode else {})
    said = subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout
    figures: dict[str, float] = json.loads(said)
    return figures


def measure(seconds: float, smoke: bool) -> dict[str, float]:
    """Return CPU-milliseconds a trained and an answered sample, and how many offsets gave other bits."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "attn_implementation": "eager"}
    config = BertConfig(**(SMALL if smoke else SIZE), **quiet, num_labels=3)
    model = BertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids, labels = torch.randint(0, config.vocab_size, (ROWS, TOKENS)), torch.randint(0, 3, (ROWS,))

    def train() -> None:
        model(ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    @torch.inference_mode()
    def answer(rows: int = ROWS) -> torch.Tensor:
        logits: torch.Tensor = model(ids[:rows]).logits
        return logits

    figures = {"train": timed(train, seconds), "answer": timed(answer, seconds)}
    model.eval()
    return figures | {
        "mapped": float(other_bits(model, answer, lambda module: None)),
        "owned": float(other_bits(model, answer, own_storage)),
    }


def timed(step: Callable[[], object], seconds: float) -> float:
    """Return CPU-milliseconds a sample over about `seconds`, after one step of warming up."""
    step()
    began, cpu, count = time.monotonic(), time.process_time(), 0
    while time.monotonic() - began < seconds:
        step()
        count += 1
    return 1000 * (time.process_time() - cpu) / (count * ROWS)


def other_bits(model: nn.Module, answer: Callable[[int], torch.Tensor], load: Callable[[nn.Module], object]) -> int:
    """Count the offsets at which the weights give other logits to 1, 8 or 32 rows than in storage of their own."""
    own_storage(model)
    wanted, count = [answer(rows) for rows in (1, 8, ROWS)], 0
    for offset in range(HEADER, ALIGNMENT, HEADER):
        for tensor in model.parameters():
            tensor.data = placed(tensor.data, offset)
        load(model)
        found = [answer(rows) for rows in (1, 8, ROWS)]
        count += not all(torch.equal(one, two) for one, two in zip(wanted, found, strict=True))
    return count


def placed(tensor: torch.Tensor, offset: int) -> torch.Tensor:
    """Copy a tensor to an address that is `offset` modulo 64."""
    memory = torch.empty(tensor.numel() + ALIGNMENT, dtype=tensor.dtype)
    first = (offset - memory.data_ptr()) % ALIGNMENT // tensor.element_size()
    return memory[first : first + tensor.numel()].view(tensor.shape).copy_(tensor)


if __name__ == "__main__":
    raise SystemExit(main())
