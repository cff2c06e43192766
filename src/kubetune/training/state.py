"""A checkpoint: complete and verified, or absent.

Files are written to a staging directory and synced, the manifest with their digests comes last, one rename makes the
folder visible. Tensors are safetensors, the rest is JSON; nothing is pickled.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from kubetune.errors import CorruptArtifactError
from kubetune.layout import file_digest
from kubetune.tasks.weights import read_tensors, write_tensors

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass
class State:
    """Where a run stands, beyond its tensors.

    Attributes:
        step: Completed optimizer steps; epoch and position in it follow by arithmetic.
        evaluated_at: Step of the last evaluation.
        best_step: Step whose weights are the best so far; 0: none yet.
        best_value: Their validation metric.
        without_gain: Evaluations since the metric last improved by more than `min_delta`.
        stopped_early: Whether that ended the run.
        high_losses: Consecutive steps with a loss above the bound.
        loss_sum: Sum of training losses since the last evaluation.
        loss_terms: Losses in that sum.
        rows: Rows trained on.
        tokens: Real tokens trained on.
        computed_tokens: Tokens computed, padding included.
        evaluations: One entry an evaluation.
        fingerprints: Fingerprints the run was trained under, in order.
    """

    step: int = 0
    evaluated_at: int = 0
    best_step: int = 0
    best_value: float | None = None
    without_gain: int = 0
    stopped_early: bool = False
    high_losses: int = 0
    loss_sum: float = 0.0
    loss_terms: int = 0
    rows: int = 0
    tokens: int = 0
    computed_tokens: int = 0
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    fingerprints: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class CheckpointContents:
    """What a checkpoint folder holds.

    Attributes:
        state: The run's state.
        weights: State of the module.
        optimizer: Moments by `<parameter>/<moment>`.
        best: State of the module at the best evaluation; None: none yet.
    """

    state: State
    weights: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, torch.Tensor]
    best: Mapping[str, torch.Tensor] | None = None


def write_generators(folder: Path, rank: int, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
    """Write the generators' states of one rank into the staging directory."""
    write_tensors(tensors, folder / f"generators-{rank}.safetensors")
    (folder / f"generators-{rank}.json").write_text(json.dumps(values), encoding="utf-8")


def read_generators(folder: Path, rank: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `write_generators` wrote."""
    values = json.loads((folder / f"generators-{rank}.json").read_text(encoding="utf-8"))
    return read_tensors(folder / f"generators-{rank}.safetensors"), values


def begin_checkpoint(spool: Path, step: int) -> Path:
    """Make the staging directory that all ranks write to, empty."""
    staging = spool / f".step-{step:08d}.partial"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def complete_checkpoint(
    staging: Path, checkpoint: CheckpointContents, alive: Callable[[], None] = lambda: None
) -> Path:
    """Add the shared files to `staging`, sync everything, write the manifest, rename.

    Args:
        staging: From `begin_checkpoint`.
        checkpoint: What to write.
        alive: Called between files: a large one takes a slow disk its time.

    Returns:
        The complete folder.
    """
    parts = {"weights": checkpoint.weights, "optimizer": checkpoint.optimizer, "best": checkpoint.best}
    for name, tensors in parts.items():
        if tensors is not None:
            write_tensors(tensors, staging / f"{name}.safetensors")
            alive()
    (staging / "state.json").write_text(json.dumps(asdict(checkpoint.state)), encoding="utf-8")
    files = {}
    for path in sorted(staging.iterdir()):
        _sync(path)
        alive()
        files[path.name] = {"sha256": file_digest(path), "size": path.stat().st_size}
    manifest = {"format": FORMAT, "step": checkpoint.state.step, "files": files}
    (staging / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=2) + "\n", encoding="utf-8")
    _sync(staging / MANIFEST)
    _sync(staging)
    done = staging.with_name(staging.name.strip(".").removesuffix(".partial"))
    shutil.rmtree(done, ignore_errors=True)
    staging.rename(done)
    _sync(done.parent)
    return done


def load_checkpoint(folder: Path, with_best: bool = True) -> CheckpointContents:
    """Read a checkpoint folder after its digests were checked.

    Args:
        folder: With a manifest.
        with_best: Whether the best weights are wanted as well.

    Raises:
        CorruptArtifactError: Half a checkpoint, or bytes without their digest.
    """
    verify_checkpoint(folder)
    try:
        state = State(**json.loads((folder / "state.json").read_text(encoding="utf-8")))
        best = folder / "best.safetensors"
        return CheckpointContents(
            state,
            read_tensors(folder / "weights.safetensors"),
            read_tensors(folder / "optimizer.safetensors"),
            read_tensors(best) if with_best and best.exists() else None,
        )
    except (OSError, ValueError, TypeError) as error:
        raise CorruptArtifactError("", f"Checkpoint {folder.name} cannot be read ({type(error).__name__})") from error


def verify_checkpoint(folder: Path) -> None:
    """Check each file of a checkpoint against its manifest.

    Raises:
        CorruptArtifactError: Names the first file that is absent or has other bytes.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ValueError(manifest["format"])
        files = {str(name): str(entry["sha256"]) for name, entry in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptArtifactError("", f"Checkpoint {folder.name} has no manifest of a known format") from error
    for name, digest in files.items():
        path = folder / name
        if not path.is_file() or file_digest(path) != digest:
            raise CorruptArtifactError(digest, f"File {name} of checkpoint {folder.name} does not have its digest")


def _sync(path: Path) -> None:
    """Make a file's or folder's bytes durable before anything points at them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
