"""Section `serving`: how the archive answers."""

from pydantic import Field

from kubetune.config.section import Section


class ServingSection(Section):
    """Handler settings that travel in the archive."""

    batch_size: int = Field(default=32, ge=1, le=1024)
    """Requests that TorchServe gathers at most."""
    max_batch_delay_ms: int = Field(default=5, ge=0, le=10_000)
    """Milliseconds that TorchServe waits for a batch to fill."""
    split: int = Field(default=8, ge=1, le=1024)
    """Micro-batch after sorting by length."""
    max_characters: int = Field(default=10_000, ge=1, le=1_000_000)
    """Longer text is answered with 413 before it is tokenised."""
    max_items: int = Field(default=64, ge=1, le=1024)
    """Texts in one request."""
    top_k: int = Field(default=1, ge=1, le=10_000)
    """Labels in an answer unless the request says otherwise."""
    workers: int = Field(default=1, ge=1, le=64)
    """Processes, each with its own model; one a CPU where requests are not gathered (`batch_size: 1`)."""
    response_timeout_s: int = Field(default=30, ge=1, le=3600)
    """Seconds after which a request fails."""
    golden_tolerance: float = Field(default=1e-3, gt=0, lt=1)
    """Absolute difference of probabilities at fp32; bf16 is given ten times as much."""
