"""Section `training`: how the model is fine-tuned."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from kubetune.schema.section import Section

Weight = Annotated[float, Field(gt=0)]


class Freeze(Section):
    """Which pretrained tensors stay as they are."""

    encoder: bool = False
    """Freeze everything but the head."""
    first_layers: int = Field(default=0, ge=0)
    """Freeze the embeddings and the first k encoder layers."""


class EarlyStopping(Section):
    """Stop when the validation metric no longer improves."""

    patience: int = Field(default=2, ge=1)
    """Evaluations without improvement."""
    min_delta: float = Field(default=0.0, ge=0)
    """Smaller gains do not count."""


class Checkpoints(Section):
    """When training leaves a resumable state behind."""

    every_steps: int | None = Field(default=None, ge=1)
    """None: about every tenth of the run, at least every 200 steps."""


class TrainingSection(Section):
    """Hyperparameters. The global batch is what is stated here, whatever the number of ranks."""

    epochs: float | None = Field(default=None, gt=0)
    """Passes over train; exactly one of `epochs` and `steps`. Neither: one epoch."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps."""
    batch: int = Field(default=32, ge=1, le=65_536)
    """Rows an optimizer step over all ranks and micro-batches."""
    micro_batch: int | None = Field(default=None, ge=1, le=65_536)
    """Rows a rank computes at once; None: batch / ranks. Must divide batch / ranks."""
    learning_rate: float = Field(default=2e-4, gt=0)
    """Peak rate; a property of the data set, so try {5e-5, 1e-4, 2e-4, 4e-4}."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the rate falls after warm-up."""
    warmup: float = Field(default=0.06, ge=0, lt=1)
    """Share of all steps."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Not applied to biases and norm weights."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """Bound of the global gradient norm; null: none."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the probability spread over all classes."""
    class_weights: Literal["none", "balanced"] | list[Weight] = "none"
    """Above 0; the loss of a row is multiplied by its label's. `balanced`: rows / (classes × rows of the class)."""
    length_groups: bool = True
    """Batches of similar length (mega-batches of 50 × batch); False: random order."""
    padding: Literal["longest", "max-length"] = "longest"
    """`max-length` exists to measure what it costs."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 autocast where the hardware has it natively, else fp32. Recorded."""
    freeze: Freeze = Freeze()
    early_stopping: EarlyStopping | None = None
    best_metric: str | None = None
    """Validation metric that picks the weights that are kept, one of the task's; where it is not given, a recipe names
    the task's main one."""
    evaluate_every_steps: int | None = Field(default=None, ge=1)
    """None: at each epoch's end."""
    checkpoints: Checkpoints = Checkpoints()
    divergence_loss: float | None = Field(default=None, gt=0)
    """Abort after 20 consecutive steps with a loss above this; None: 10 × ln(classes)."""
    seed: int = Field(default=0, ge=0)
    """Of weights, order and dropout."""

    @model_validator(mode="after")
    def one_duration(self) -> "TrainingSection":
        """The run's length has one source."""
        if self.epochs is not None and self.steps is not None:
            raise ValueError("epochs and steps are both given: give one")
        return self
