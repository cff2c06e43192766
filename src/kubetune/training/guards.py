"""What ends or marks a run that goes wrong: NaN, divergence, collapse, no more gain."""

import math

from kubetune.config.training import EarlyStopping
from kubetune.errors import ConfigError
from kubetune.training.state import State

PATIENCE = 20
"""Consecutive steps above the bound that count as divergence."""


def check_finite_step(step: int, loss: float, norm: float | None) -> None:
    """Abort before the optimizer step if the loss or the gradient is not finite; the last checkpoint stays.

    Raises:
        ConfigError: They are not; trying again unchanged would end the same way.
    """
    what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient norm is {norm}"
    if not math.isfinite(loss) or (norm is not None and not math.isfinite(norm)):
        raise ConfigError(
            f"Training broke at step {step}: the {what}. The weights were not touched; lower training.learning_rate, "
            "set training.clip_norm, or use training.precision=fp32."
        )


def check_divergence(state: State, loss: float, bound: float) -> None:
    """Count a loss above `bound` and abort after `PATIENCE` of them in a row.

    Raises:
        ConfigError: The run diverges.
    """
    state.high_losses = state.high_losses + 1 if loss > bound else 0
    if state.high_losses >= PATIENCE:
        raise ConfigError(
            f"Training diverges: the loss was above {bound:.3g} for {PATIENCE} steps up to step {state.step}; lower "
            "training.learning_rate or lengthen training.warmup."
        )


def judge_evaluation(state: State, value: float, stopping: EarlyStopping | None, *, lower: bool) -> bool:
    """Enter an evaluation into `state`; return whether these are the best weights so far.

    Args:
        state: Of the run.
        value: Of the metric that picks the weights.
        stopping: When to stop early.
        lower: Whether less of it is better.
    """
    sign = -1.0 if lower else 1.0
    gain = math.inf if state.best_value is None else sign * (value - state.best_value)
    if stopping is not None:
        state.without_gain = 0 if gain > stopping.min_delta else state.without_gain + 1
        state.stopped_early = state.without_gain >= stopping.patience
    if gain > 0:
        state.best_step, state.best_value = state.step, value
    return gain > 0
