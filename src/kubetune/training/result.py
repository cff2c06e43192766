"""Artifact `model`: the weights that are kept, and `training.json` with what is deterministic about the run."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from kubetune.errors import ConfigError
from kubetune.tasks.base import Feature
from kubetune.tasks.inference import predict_outputs
from kubetune.tasks.spec import save_model
from kubetune.tasks.weights import not_finite
from kubetune.training.job import TrainingOutcome
from kubetune.training.optimizer import optimizer_tensors
from kubetune.training.parameters import parameter_table
from kubetune.training.run import TrainingRun, heartbeat
from kubetune.training.validation import EVALUATION_BATCH, best_metric


def write_result(run: TrainingRun) -> TrainingOutcome:
    """Write the best weights (the last ones where nothing was evaluated) and `training.json`.

    Raises:
        ConfigError: A weight is not finite.
        KubetuneError: A frozen tensor moved or a trainable one did not.
    """
    if run.best is not None:
        run.module.load_state_dict(run.best, strict=True)
    if bad := not_finite(run.module):
        raise ConfigError(f"Weight {bad} of the result is not finite: lower training.learning_rate.")
    # accelerate has put the precision into the module's own forward: without this, fp32 would be asked for in vain.
    run.accelerator.unwrap_model(run.wrapped, keep_fp32_wrapper=False)
    moments = optimizer_tensors(run.optimizer, run.parameters)
    table = parameter_table(run.module, run.before, run.unused, moments)
    spec, said = run.task.finished(run.job.spec, run.module, run.validation, partial(_outputs, run), tune=run.job.tune)
    for sentence in said:
        run.host.note(sentence)
    save_model(run.module, spec, run.job.output)
    report = _report(run) | {"parameters": table} | ({"said": said} if said else {})
    text = json.dumps(report, sort_keys=True, indent=2, allow_nan=False) + "\n"
    (run.job.output / "training.json").write_text(text, encoding="utf-8")
    return TrainingOutcome(metrics=_metrics(report), facts=_facts(run, report))


def _outputs(run: TrainingRun, features: Sequence[Feature]) -> list[np.ndarray]:
    """Return the outputs of features as `evaluate` computes them."""
    with heartbeat(run):
        return predict_outputs(run.module, features, run.task, run.job.pad_token_id, EVALUATION_BATCH, "fp32")


def _report(run: TrainingRun) -> dict[str, Any]:
    state, timeline = run.state, run.timeline
    metric = best_metric(run)
    kept = next((entry for entry in state.evaluations if entry["step"] == state.best_step), None)
    return {
        "format": 1,
        "best": kept and {"metric": metric, "value": state.best_value} | kept,
        "evaluations": state.evaluations,
        "collapsed": bool(kept and kept["collapsed"]),
        "stopped_early": state.stopped_early,
        "steps": state.step,
        "planned_steps": timeline.steps,
        "steps_an_epoch": timeline.steps_an_epoch,
        "rows": state.rows,
        "tokens": state.tokens,
        "computed_tokens": state.computed_tokens,
        "padding_ratio": state.computed_tokens / max(1, state.tokens),
        "precision": state.fingerprints[-1]["precision"],
        "settings": run.job.settings.model_dump(mode="json"),
    }


def _metrics(report: dict[str, Any]) -> dict[str, float]:
    kept = report["best"]["validation"] if report["best"] else {}
    return {f"validation_{name}": value for name, value in kept.items()} | {
        "steps": float(report["steps"]),
        "padding_ratio": report["padding_ratio"],
    }


def _facts(run: TrainingRun, report: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {"fingerprint": run.state.fingerprints[-1], "collapsed": report["collapsed"]}
    if len(run.state.fingerprints) > 1:
        facts["earlier_fingerprints"] = run.state.fingerprints[:-1]
    return facts
