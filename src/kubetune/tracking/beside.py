"""The mirror of one run on a laptop: a process of its own, in nobody's way, that outlives the run by one last pass.

The run holds the other end of the pipe that is the mirror's standard input. Its end of file says that the run has
ended, by whatever death.
"""

import os
import select
import subprocess
import sys
from pathlib import Path

from kubetune.config.environment import child_environment
from kubetune.config.settings import Settings, state_folder
from kubetune.tracking.target import is_installed, tracking_target

EVERY_S = 15.0
FIRST_S = 10.0
"""Seconds before the first pass: a run that adopts everything has ended by then, and did not share its cores."""
NICE = 10
LOG_BYTES = 128 << 10
_started: list[subprocess.Popen[bytes]] = []


def start_beside(settings: Settings, run: str) -> Path | None:
    """Start the mirror of a run; returns its log, None where nothing is mirrored. Imports nothing of MLflow.

    Raises:
        ConfigError: The settings name no usable MLflow.
        OSError: The state folder cannot be written, or no process can be started.
    """
    if tracking_target(settings) is None or not is_installed():
        return None
    log = state_folder(settings) / "tracking.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    command = [sys.executable, "-m", "kubetune", "tracking", "sync", "--run", run, "--watch", str(EVERY_S), "--beside"]
    with log.open("ab") as file:
        _started.append(
            subprocess.Popen(
                [*command, "--store", settings.store],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,
                env=child_environment({}),
            )
        )
    return log


class RunBeside:
    """The run that this process was started by."""

    ended = False

    def wait(self, seconds: float) -> None:
        """Wait for the run's end, so long at most."""
        if not self.ended and select.select([sys.stdin.fileno()], [], [], seconds)[0]:
            self.ended = not os.read(sys.stdin.fileno(), 1)
        elif self.ended:
            select.select([], [], [], seconds)


def give_way() -> None:
    """Leave the cores to the run."""
    os.nice(NICE)
