"""Same fingerprint, same bytes: seeds, deterministic kernels, generators' states, and what must not change."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from kubetune.config.environment import environment
from kubetune.errors import ConfigError
from kubetune.tasks.hardware import blas_mode, cpu_capability, cpu_vendor, native_bf16
from kubetune.tasks.inference import Precision
from kubetune.training.job import Job

FIXED = {"world_size": "resources.train (gpus, processes)", "precision": "training.precision"}
"""What a resumed run may not change, and where the recipe states it."""


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Run with deterministic kernels and this many CPU threads; both are put back."""
    former = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    kernels: Any = torch.utils.deterministic
    filling = kernels.fill_uninitialized_memory
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Filling each new tensor with NaN finds kernels that read what they did not write; it costs time in every step.
    kernels.fill_uninitialized_memory = False
    try:
        with environment({"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}):
            yield
    finally:
        kernels.fill_uninitialized_memory = filling
        torch.set_num_threads(former[0])
        torch.use_deterministic_algorithms(former[1])


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generator_states() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the state of every generator of this process: tensors and JSON-able values."""
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        tensors["cuda"] = torch.cuda.get_rng_state()
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    numpy_state = [str(kind), np.asarray(keys).tolist(), position, has_gauss, gauss]
    return tensors, {"python": random.getstate(), "numpy": numpy_state}


def restore_generators(tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
    """Put back what `generator_states` returned, also after a way through JSON."""
    torch.set_rng_state(tensors["torch"].cpu())
    if "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"].cpu())
    kind, inner, gauss = values["python"]
    random.setstate((kind, tuple(inner), gauss))
    name, keys, position, has_gauss, cached = values["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))


def choose_precision(asked: str, device: str) -> Precision:
    """Return `bf16` where the hardware multiplies it natively and the recipe allows it, else `fp32`.

    Raises:
        ConfigError: The recipe demands bf16 and the hardware would only emulate it.
    """
    native = native_bf16(device)
    if asked == "bf16" and not native:
        raise ConfigError(
            f"training.precision is bf16, which this {device} does not compute natively: use auto, or other hardware."
        )
    return "bf16" if native and asked != "fp32" else "fp32"


def fingerprint(job: Job, precision: Precision) -> dict[str, Any]:
    """Return everything besides code and data that decides the bits of the result."""
    return {
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "accelerate": version("accelerate"),
        "device": torch.cuda.get_device_name() if job.device == "cuda" else "cpu",
        "cpu_vendor": cpu_vendor(),
        "cpu_capability": cpu_capability(),
        "blas": blas_mode(),
        "threads": job.threads,
        "world_size": job.ranks,
        "global_batch": job.settings.batch,
        "precision": precision,
        "seed": job.settings.seed,
    }


def check_resumable(saved: Mapping[str, Any], current: Mapping[str, Any], step: int) -> list[str]:
    """Compare the fingerprint of a checkpoint with this execution's.

    Returns:
        Sentences on what differs and is allowed to; the result is then not bit-equal to an unbroken run.

    Raises:
        ConfigError: World size or precision differ.
    """
    for name, where in FIXED.items():
        if saved[name] != current[name]:
            raise ConfigError(
                f"The checkpoint at step {step} was trained with {name}={saved[name]}, this attempt has "
                f"{name}={current[name]}: set {where} back, or change training.seed to start a run of its own."
            )
    return [
        f"{name} was {saved.get(name)!r} up to step {step} and is {value!r} from there"
        for name, value in current.items()
        if saved.get(name) != value
    ]
