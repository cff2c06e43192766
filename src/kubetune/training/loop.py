"""The training loop, for 0, 1 and N devices alike. Read `train` first."""

from contextlib import nullcontext
from dataclasses import replace
from math import ceil, cos, log, pi
from typing import Literal
from zlib import crc32

import numpy as np
import torch

from kubetune.errors import ConfigError, InterruptedRunError, KubetuneError
from kubetune.schema.numbers import as_written
from kubetune.tasks import load_task
from kubetune.tasks.base import Task
from kubetune.tasks.encoder import use_plain_attention
from kubetune.tasks.rows import EncodedRows, read_rows
from kubetune.tasks.trial import try_model
from kubetune.tasks.weights import not_finite
from kubetune.training.batches import MicroBatch, Timeline, micro_batch_size, micro_batches, tokens_of
from kubetune.training.determinism import choose_precision, deterministic, fingerprint, seed_everything
from kubetune.training.guards import check_divergence, check_finite_step
from kubetune.training.job import Host, Job, TrainingOutcome
from kubetune.training.meter import Meter
from kubetune.training.optimizer import build_optimizer, clip, set_rate
from kubetune.training.parameters import drop_unused, freeze, named_parameters, snapshot
from kubetune.training.ranks import start_accelerator, total
from kubetune.training.result import write_result
from kubetune.training.resume import resume, save
from kubetune.training.run import TrainingRun, phase
from kubetune.training.validation import evaluate_if_due

COUNTED_ROWS = 10_000
"""Of which the losses of a row are counted."""


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


def train(job: Job, host: Host) -> TrainingOutcome:
    """Fine-tune, and write artifact `model`.

    Returns:
        What rank 0 found; other ranks return an empty outcome.

    Raises:
        InterruptedRunError: The host asked to stop; a checkpoint of the last step is published.
        ConfigError: A setting cannot be used, the loss is not finite or diverges, or a checkpoint is of another world.
        DataError: Dataset or weights are damaged.
    """
    with deterministic(job.threads):
        run = prepare(job, host)
        resume(run)
        host.start("train", run.timeline.steps)
        host.advance(run.state.step)
        evaluate_if_due(run)
        while run.state.step < run.timeline.steps and not run.state.stopped_early:
            stop = train_step(run)
            if stop:
                save(run)
                raise InterruptedRunError(
                    f"Training was asked to stop and left a checkpoint after step {run.state.step} of "
                    f"{run.timeline.steps}: run the same command again to go on."
                )
            if run.timeline.checkpoint_due(run.state.step):
                save(run)
            evaluate_if_due(run)
        return write_result(run) if run.is_main else TrainingOutcome()


def prepare(job: Job, host: Host) -> TrainingRun:
    """Build everything before step 1; the same on a first and on a resumed attempt."""
    with phase(host, "load"):
        settings, task = job.settings, load_task(job.spec.task)
        precision = choose_precision(settings.precision, job.device)
        accelerator = start_accelerator(job.ranks, job.device, precision)
        labels = job.spec.labels
        rows = {
            split: read_rows(job.dataset, split, task, labels, places=split == "validation")
            for split in ("train", "validation")
        }
        timeline = build_timeline(job, rows["train"], len(rows["validation"]))
        seed_everything(settings.seed)
        module = task.build_model(job.spec, job.weights, pretrained=True)
        if len(rows["train"]):
            try_model(task, module, job.spec, rows["train"].pick([0])[0], job.pad_token_id, job.vocabulary)
        job = replace(job, spec=task.begun(job.spec, module, rows["train"]))
        task = task.of_model(job.spec)
        groups = task.parameter_groups(module)
        freeze(module, groups, settings.freeze.encoder, settings.freeze.first_layers)
        before = snapshot(module)
        use_plain_attention(module)
        module.to(accelerator.device)
    run = TrainingRun(
        job=job,
        host=host,
        task=task,
        accelerator=accelerator,
        train=rows["train"],
        validation=rows["validation"],
        timeline=timeline,
        module=module,
        wrapped=module,
        before=before,
        class_weights=class_weights(job, task, rows["train"], accelerator.device),
        micro=micro_batch_size(settings.batch, settings.micro_batch, job.ranks),
        meter=Meter(timeline.steps),
    )
    for line in (*task.notes(run.micro), *getattr(module, "said", ())):
        host.note(line)
    run.state.fingerprints = [fingerprint(job, precision)]
    with phase(host, "first-batch"):
        _try_longest_batch(run, groups)
    run.parameters = {name: p for name, p in named_parameters(module).items() if p.requires_grad}
    run.optimizer = build_optimizer(run.parameters, settings.learning_rate, settings.weight_decay)
    seed_everything(settings.seed + accelerator.process_index)
    return run


def build_timeline(job: Job, train_rows: EncodedRows, validation_rows: int) -> Timeline:
    """Work out steps, evaluations and checkpoints.

    Raises:
        ConfigError: Early stopping without validation rows.
    """
    settings = job.settings
    if settings.early_stopping is not None and not validation_rows:
        raise ConfigError("training.early_stopping needs validation rows: the dataset has none; set data.splits.")
    epoch = ceil(len(train_rows) / settings.batch)
    steps = settings.steps or max(1, ceil(as_written(settings.epochs or 1.0) * epoch))
    return Timeline(
        lengths=train_rows.lengths,
        batch=settings.batch,
        steps=steps,
        seed=settings.seed,
        groups=settings.length_groups,
        evaluate_every=settings.evaluate_every_steps or epoch,
        checkpoint_every=settings.checkpoints.every_steps or max(1, min(200, round(steps / 10))),
    )


def class_weights(job: Job, task: Task, rows: EncodedRows, device: torch.device) -> torch.Tensor | None:
    """Return the weight of each output of the head, (outputs,) fp32, or None.

    Raises:
        ConfigError: The task has no classes to weigh, or the recipe's list has another length than they are.
    """
    asked, names = job.settings.class_weights, task.head(job.spec.labels).names
    if asked == "none":
        return None
    if not task.class_columns:
        raise ConfigError(f"training.class_weights is not for task {task.kind}, which has no classes: leave it out.")
    if asked == "balanced":
        found = np.concatenate([rows.column(name) for name in task.class_columns])
        counts = torch.from_numpy(np.bincount(found[found >= 0], minlength=len(names))).clamp(min=1)
        return (int(counts.sum()) / (len(names) * counts)).float().to(device)
    if len(asked) != len(names):
        raise ConfigError(
            f"training.class_weights has {len(asked)} values: the model has {len(names)} outputs, "
            f"{', '.join(names):.200}."
        )
    return torch.tensor(asked, dtype=torch.float32, device=device)


def backward(run: TrainingRun, parts: list[MicroBatch], divisor: float) -> torch.Tensor:
    """Add the gradients of this rank's part of a global batch; return the sum of its losses.

    The losses of all ranks and micro-batches (a row has one, or one a word) are divided by one number, no mean of
    means: each micro-batch is scaled by it, and by the number of ranks, since their gradients are averaged. Every rank
    knows the whole batch, so the number needs no exchange.
    """
    settings, world = run.job.settings, run.accelerator.num_processes
    pad_to = run.job.spec.max_length if settings.padding == "max-length" else None
    loss_sum = torch.zeros((), device=run.accelerator.device, dtype=torch.float64)
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        with nullcontext() if last else run.accelerator.no_sync(run.wrapped):
            taught = run.taught(part.rows)
            inputs = run.task.collate(taught, run.job.pad_token_id, pad_to)
            targets = run.task.targets(taught, inputs["input_ids"].shape[1]).to(run.accelerator.device)
            outputs = run.wrapped(**{name: tensor.to(run.accelerator.device) for name, tensor in inputs.items()})
            losses = run.task.losses(outputs, targets, settings.label_smoothing, run.class_weights)
            loss = losses.sum() * part.weight
            run.accelerator.backward(loss * (world / divisor))
        loss_sum += loss.detach()
        run.host.alive()
    return loss_sum


def train_step(run: TrainingRun) -> bool:
    """Do one optimizer step; return whether the ranks agreed to stop after it."""
    state, settings, timeline = run.state, run.job.settings, run.timeline
    world, rank = run.accelerator.num_processes, run.accelerator.process_index
    batch = timeline.batch_at(state.step)
    run.wrapped.train()
    terms, divisor = terms_of(run, batch)
    loss_sum = backward(run, micro_batches(batch, rank, world, run.micro), divisor)
    summed, stop = total(run.accelerator, loss_sum, float(run.host.should_stop()))
    loss = summed / terms
    check_finite_step(state.step + 1, loss, None)
    norm = clip(run.parameters, settings.clip_norm)
    check_finite_step(state.step + 1, loss, norm)
    rate = settings.learning_rate * rate_factor(settings.schedule, state.step, timeline.steps, settings.warmup)
    set_rate(run.optimizer, rate)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)

    pad_to = run.job.spec.max_length if settings.padding == "max-length" else None
    real, computed = tokens_of(run.train.lengths, batch, world, run.micro, pad_to)
    state.step += 1
    state.loss_sum, state.loss_terms = state.loss_sum + summed, state.loss_terms + terms
    state.rows, state.tokens = state.rows + len(batch), state.tokens + real
    state.computed_tokens += computed
    if run.is_main:
        run.host.advance(1, **run.meter.step(state.step, loss, rate, len(batch), real))
        facts = {"loss": loss, "rate": rate, "norm": norm, "rows": len(batch), "tokens": real}
        run.host.record("step", step=state.step, batch=crc32(batch.tobytes()), **facts)
    head = run.task.head(run.job.spec.labels)
    width = run.job.vocabulary if head.vocabulary else len(head.names)
    check_divergence(state, loss, settings.divergence_loss or 10 * log(max(2, width)))
    return stop > 0


def terms_of(run: TrainingRun, batch: np.ndarray) -> tuple[int, float]:
    """Return the losses of a global batch, 1 where it has none, and what its gradient divides their sum by.

    In random order that is their number, as `Trainer` does it. Batches in length groups are of short texts or of long
    ones, and a word would weigh more in a short text; there it is the number that as many rows have on average.
    """
    terms = max(1, int(run.task.terms(run.taught(batch)).sum()))
    return terms, run.terms_a_row * len(batch) if run.timeline.groups else terms


def count_terms(run: TrainingRun) -> float:
    """Return the losses of a train row on average, of as many evenly spaced rows as take no time."""
    rows = len(run.train)
    some = np.linspace(0, rows - 1, min(rows, COUNTED_ROWS)).astype(np.int64)
    return float(run.task.terms(run.taught(some)).mean()) or 1.0


def _try_longest_batch(run: TrainingRun, groups: dict[str, list[str]]) -> None:
    """Run the longest batch unrecorded: memory runs out now or never, and tensors without a gradient show.

    The generators are seeded afterwards and no weight moves. Ranks do it twice, since the gradient buckets of
    `DistributedDataParallel` take their final layout after the first pass: a resumed run must sum in the same order.
    """
    batch = run.timeline.longest_batch()
    if not len(batch):
        raise KubetuneError("The dataset has no training rows: prepare should have refused it.")
    world, rank = run.accelerator.num_processes, run.accelerator.process_index
    parts = micro_batches(batch, rank, world, run.micro)
    run.terms_a_row = count_terms(run)
    run.module.train()
    backward(run, parts[:1], terms_of(run, batch)[1])
    run.unused = drop_unused(run.module, groups)
    run.module.zero_grad(set_to_none=True)
    run.wrapped = run.accelerator.prepare(run.module)
    for _ in range(2 if world > 1 else 0):
        backward(run, parts[:1], terms_of(run, batch)[1])
        run.module.zero_grad(set_to_none=True)
    if bad := not_finite(run.module):
        raise KubetuneError(f"Weight {bad} is not finite before step 1: this is a bug of kubetune.")
