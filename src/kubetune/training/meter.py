"""Rates for a person who watches: tokens and samples a second, memory, time left."""

import resource
import sys
import time
from collections import deque

import torch


def process_seconds() -> float:
    """CPU seconds of this process, all threads."""
    return time.process_time()


def peak_memory_bytes() -> int:
    """Peak resident memory of this process, or peak allocated memory of its GPU where it has one in use."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Meter:
    """Rates over the last steps.

    Attributes:
        steps: Steps of the whole run.
    """

    def __init__(self, steps: int, window: int = 50) -> None:
        self.steps = steps
        self._seen: deque[tuple[float, int, int]] = deque([(time.perf_counter(), 0, 0)], maxlen=window)

    def step(self, step: int, loss: float, rate: float, rows: int, tokens: int) -> dict[str, float | str]:
        """Count a finished step; return what to show beside the bar."""
        now = time.perf_counter()
        self._seen.append((now, rows, tokens))
        seconds = max(1e-9, now - self._seen[0][0])
        counted = list(self._seen)[1:]
        left = (self.steps - step) * seconds / len(counted)
        return {
            "loss": round(loss, 4),
            "rate": float(f"{rate:.3g}"),
            "tokens/s": round(sum(item[2] for item in counted) / seconds),
            "samples/s": round(sum(item[1] for item in counted) / seconds, 1),
            "memory": f"{peak_memory_bytes() / 2**30:.2f} GiB",
            "left": f"{int(left // 60)}:{int(left % 60):02d}",
        }
