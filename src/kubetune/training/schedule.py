"""Learning rate as a pure function of the step: nothing to save, nothing that a library could step twice."""

from math import ceil, cos, pi
from typing import Literal

from kubetune.config.numbers import as_written


def rate_factor(schedule: Literal["linear", "cosine", "constant"], step: int, steps: int, warmup: float) -> float:
    """Return what the learning rate is multiplied with; never 0 inside the run.

    Args:
        schedule: Shape after the warm-up: to 0 in a line, to 0 in half a cosine, or level.
        step: Completed steps, from 0 to `steps` - 1.
        steps: Steps of the whole run.
        warmup: Share of all steps in which the rate rises in a line.
    """
    rising = ceil(as_written(warmup) * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    left = (steps - step) / max(1, steps - rising)
    if schedule == "linear":
        return left
    return 1.0 if schedule == "constant" else (1 - cos(pi * left)) / 2
