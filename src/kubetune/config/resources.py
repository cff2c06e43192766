"""Section `resources`: what a stage may use. Part of no key, except `hardware`."""

import warnings
from typing import Literal

from pydantic import ConfigDict, Field

from kubetune.schema.section import Section


class StageResources(Section):
    """Requests of one stage."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    cpu: str | None = None
    """Kubernetes quantity, for example `2` or `500m`."""
    memory: str | None = None
    """Kubernetes quantity, for example `4Gi`."""
    scratch: str | None = None
    """Kubernetes quantity of local disk."""
    gpus: int = Field(default=0, ge=0, le=64)
    """GPUs of one node; the number of ranks follows."""
    processes: int | None = Field(default=None, ge=1, le=64)
    """CPU ranks (gloo) where `gpus` is 0; None: 1."""
    hardware: Literal["any", "cpu", "gpu"] = "any"
    """Declared hardware class; enters the keys of `train` and `evaluate`, since bits depend on it."""
    timeout_minutes: int | None = Field(default=None, ge=1, le=525_600)
    """Minutes after which the stage is stopped."""


with warnings.catch_warnings():
    # A stage is called `register`, and so is a method of the metaclass of every model, which nobody calls on a recipe.
    warnings.filterwarnings("ignore", message='Field name "register"', category=UserWarning)

    class ResourcesSection(Section):
        """One entry a stage that needs more than its defaults."""

        ingest: StageResources = StageResources()
        fetch: StageResources = StageResources()
        prepare: StageResources = StageResources()
        train: StageResources = StageResources()
        evaluate: StageResources = StageResources()
        behave: StageResources = StageResources()
        compare: StageResources = StageResources()
        package: StageResources = StageResources()
        register: StageResources = StageResources()
        deploy: StageResources = StageResources()
