"""Stage `train`: dataset, tokenizer and weights → a fine-tuned model, on 0, 1 or N devices."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubetune.config.cpus import cpu_quota_threads
from kubetune.contract import Context, Result
from kubetune.errors import ConfigError, DataError
from kubetune.tasks import load_task
from kubetune.tasks.base import ModelSpec
from kubetune.tasks.trained_heads import keeps_head, trained_head
from kubetune.training.job import Device, Job
from kubetune.training.launch import launch


def run(config: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path], context: Context) -> Result:
    """Fine-tune as the recipe says; see `StageBody`.

    Raises:
        DataError: The dataset or the weights are damaged or do not belong together.
        ConfigError: A setting, the hardware or a checkpoint's world does not fit.
        InterruptedRunError: The stage was asked to stop; its checkpoint is published.
    """
    facts = _dataset_facts(inputs["dataset"])
    ranks, device = _world(context.platform.get("resources"), config.resources.train.hardware, context)
    weights = _weights(inputs["weights"], inputs["tokenizer"], facts["pad_token_id"], context.scratch)
    head = config.model.head.model_dump(mode="json")
    scratch_model = (weights / "architecture.json").exists()
    spec = ModelSpec(
        task=config.task.name,
        labels=tuple(facts["labels"]),
        architecture="bilstm" if scratch_model else head["kind"],
        head=head,
        encoder_dropout=config.model.encoder_dropout,
        max_length=facts["max_length"],
        pad_token_id=facts["pad_token_id"],
    )
    _say_head(spec, weights, context)
    job = Job(
        spec=spec,
        settings=config.training,
        dataset=inputs["dataset"],
        weights=weights,
        output=outputs["model"],
        spool=context.scratch / "checkpoints",
        pad_token_id=facts["pad_token_id"],
        vocabulary=facts["vocabulary"],
        ranks=ranks,
        device=device,
        threads=max(1, threads_allowed() // ranks),
        tune=config.task.thresholds == "tuned",
        mask_probability=config.task.mask_probability,
        restore=tuple(context.checkpoints.restore()),
    )
    outcome = launch(job, context)
    _write_origin(inputs, outputs["model"])
    return Result(metrics=outcome.metrics, facts=outcome.facts)


def _write_origin(inputs: Mapping[str, Path], model: Path) -> None:
    """Write `origin.json`: revision and licence of base model and data, for the card of what came of them."""
    found = {
        "base_model": _object(inputs["weights"] / "source.json"),
        "data": _object(inputs["dataset"] / "dataset.json").get("source", {}),
    }
    facts = {part: {name: values.get(name) for name in ("revision", "licence")} for part, values in found.items()}
    (model / "origin.json").write_text(json.dumps(facts, sort_keys=True, indent=2) + "\n", encoding="utf-8")


def _object(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty where the artifact, of an older version, lacks the file."""
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return values


def _say_head(spec: ModelSpec, weights: Path, context: Context) -> None:
    """Say what becomes of a classifier that the checkpoint was saved with."""
    head = load_task(spec.task).head(spec.labels)
    labels = trained_head(weights, head)
    if spec.architecture == "stock" and labels is not None:
        shown = ", ".join(labels)[:80]
        kept = keeps_head(weights, head)
        context.progress.note(
            f"the checkpoint's classifier ({shown}) goes on: it has these labels"
            if kept
            else f"the checkpoint's classifier ({shown}) is replaced: the data has other labels"
        )


def threads_allowed() -> int:
    """Return the threads of all ranks together: the CPU quota, or less where OMP_NUM_THREADS asks for less."""
    import torch

    return min(cpu_quota_threads(), torch.get_num_threads())


def _dataset_facts(dataset: Path) -> dict[str, Any]:
    """Read `dataset.json`."""
    try:
        facts: dict[str, Any] = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
        return {name: facts[name] for name in ("labels", "max_length", "pad_token_id", "vocabulary")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError("dataset", f"dataset.json cannot be read ({type(error).__name__}): prepare again") from error


def _world(resources: Any, hardware: str, context: Context) -> tuple[int, Device]:
    """Return ranks and device.

    Args:
        resources: `resources.train`, or None for one process on the CPU.
        hardware: Declared class.
        context: To say that a GPU lies idle.

    Raises:
        ConfigError: The machine has fewer GPUs than were asked for, or resources contradict themselves.
    """
    import torch

    gpus = int(getattr(resources, "gpus", 0) or 0)
    processes = getattr(resources, "processes", None)
    if (hardware == "gpu" and not gpus) or (hardware == "cpu" and gpus):
        raise ConfigError(
            f"resources.train has hardware={hardware} and gpus={gpus}: give a number of GPUs exactly with hardware=gpu "
            "or any."
        )
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus > found:
        raise ConfigError(
            f"resources.train.gpus is {gpus}, this machine has {found}: lower it, or train on the CPU with "
            "resources.train.gpus=0 resources.train.hardware=any."
        )
    if found and not gpus:
        context.progress.note(f"{found} GPU(s) lie idle: resources.train.gpus is 0")
    return (gpus, "cuda") if gpus else (processes or 1, "cpu")


def _weights(weights: Path, tokenizer: Path, pad_token_id: int, scratch: Path) -> Path:
    """Return the folder to build from: for an architecture without weights, one that also states its vocabulary."""
    stated = weights / "architecture.json"
    if not stated.exists():
        return weights
    from transformers import AutoTokenizer

    architecture = json.loads(stated.read_text(encoding="utf-8"))
    size = len(AutoTokenizer.from_pretrained(tokenizer, local_files_only=True))
    complete = {"vocab_size": size, **architecture, "pad_token_id": pad_token_id}
    folder = scratch / "architecture"
    folder.mkdir()
    (folder / "architecture.json").write_text(json.dumps(complete, sort_keys=True), encoding="utf-8")
    return folder
