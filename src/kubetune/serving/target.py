"""Where an endpoint lives is a seam: this machine now, a cluster later. `deploy` knows no more than this."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Observed:
    """What an endpoint does now.

    Attributes:
        digest: Archive that it serves, or would serve if it ran; None: it never served.
        problems: Why it is not ready, one sentence each; empty: its golden vectors were reproduced just now.
        facts: Where it answers, for the record: `url`, `pid` or whatever the target has.
    """

    digest: str | None
    problems: tuple[str, ...]
    facts: dict[str, Any]


class DeploymentTarget(Protocol):
    """One endpoint on some platform."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other deployments of this endpoint out; raises TemporaryError while one is under way."""

    def observe(self) -> Observed:
        """Look; change nothing."""

    def apply(self, archive: Path, timeout_s: float, should_stop: Callable[[], bool]) -> None:
        """Make the endpoint serve `archive`; returns once its golden vectors were reproduced.

        Raises:
            NotReadyError: It is not ready; the former archive may have stopped serving, see `rollback`.
        """

    def rollback(self, timeout_s: float) -> None:
        """Make the former archive serve again, if there was one and it no longer does.

        Raises:
            NotReadyError: It does not serve either.
        """
