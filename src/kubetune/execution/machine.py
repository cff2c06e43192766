"""What this machine has, beside what a recipe asks of the machine that a stage runs on: found before anything runs."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from kubetune.config.recipe import Recipe
from kubetune.config.resources import StageResources
from kubetune.errors import ConfigError
from kubetune.stages import STAGES

DEVICES = Path("/dev")
CGROUPS = Path("/sys/fs/cgroup")
ACCELERATORS = ("nvidia[0-9]*", "dxg", "kfd")
"""Device files of NVIDIA's driver, of Windows' below Linux, and of AMD's; without any, no GPU is looked for."""
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kMGTPE]i?|Ki|m)?")
FACTORS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18} | {
    f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", start=1)
}
TOLERANCE = 0.9
"""A machine that is sold with 16 GiB shows its processes some per cent less."""


def require(recipe: Recipe, stages: Iterable[str] | None = None) -> None:
    """Refuse a recipe of which a stage asks for more than this machine has.

    Args:
        recipe: A validated recipe.
        stages: Names of the stages that are going to run here; None: all.

    Raises:
        ConfigError: Names every resource that is lacking, and what to do.
    """
    names = list(stages) if stages is not None else [stage.name for stage in STAGES]
    lacking = [line for name in names for line in _lacking(name, getattr(recipe.resources, name))]
    if lacking:
        raise ConfigError(
            f"This machine lacks what the recipe asks for: {'; '.join(lacking)}. Lower it here, or run the recipe in a "
            "cluster with `kubetune submit` (`kubetune validate --cluster` checks it for one)."
        )


def _lacking(stage: str, wanted: StageResources) -> list[str]:
    found = []
    gpus = max(wanted.gpus, int(wanted.hardware == "gpu"))
    if gpus and gpus > (here := visible_gpus()):
        found.append(
            f"resources.{stage} asks for {gpus} GPU(s) and {here} can be used (on the CPU: resources.{stage}.gpus=0 "
            f"resources.{stage}.hardware=any)"
        )
    memory, total = _bytes(wanted.memory), total_memory()
    if memory is not None and total is not None and memory * TOLERANCE > total:
        found.append(
            f"resources.{stage}.memory is {wanted.memory} and there are {total / 1024**3:.1f} GiB (no such request: "
            f"resources.{stage}.memory=null)"
        )
    return found


def visible_gpus(devices: Path = DEVICES) -> int:
    """Return how many GPUs a stage here could use. PyTorch is asked only where a driver has left its devices."""
    if not any(next(devices.glob(pattern), None) for pattern in ACCELERATORS) or find_spec("torch") is None:
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def total_memory(cgroups: Path = CGROUPS) -> int | None:
    """Return the bytes of memory that processes here may use, the machine's or its container's; None: unknown."""
    found = []
    with suppress(ValueError, OSError):  # a system that does not say
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (cgroups / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        found += [int(text)] if text.isdigit() else []
    return min(found, default=None)


def _bytes(quantity: str | None) -> float | None:
    """Bytes of a Kubernetes quantity; None where it is none, which the cluster says better than we do."""
    match = QUANTITY.fullmatch(quantity or "")
    return None if match is None else float(match[1]) * FACTORS[match[2] or ""]
