"""The mirror into MLflow, and its page."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kubetune.api.opening import opened
from kubetune.cli.common import AsJson, StoreUrl, print_json, print_table, say

if TYPE_CHECKING:
    from kubetune.config.settings import Settings
    from kubetune.execution.signals import StopRequest
    from kubetune.storage.base import Store
    from kubetune.tracking.sync import Pass, Syncer, Waiting
    from kubetune.tracking.target import MlflowTarget


app = typer.Typer(help="Mirror runs and models into MLflow.", no_args_is_help=True)
SLICE_S = 0.2


@app.command()
def sync(
    run: Annotated[
        str | None, typer.Option("--run", help="This run alone; the default is all.", show_default=False)
    ] = None,
    watch: Annotated[
        float | None, typer.Option("--watch", min=0.1, help="Go on, with so many seconds between passes.")
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option("--ready-file", help="With --watch: wait until the store takes our keys, then make this file."),
    ] = None,
    beside: Annotated[bool, typer.Option("--beside", hidden=True)] = False,
    store: StoreUrl = None,
) -> None:
    """Bring MLflow to the state of the store; what it has already is not sent again."""
    from kubetune.errors import ConfigError, InterruptedRunError
    from kubetune.execution.signals import stop_requests
    from kubetune.models.history import known_run

    if watch is None:
        if ready_file is not None:
            raise ConfigError("--ready-file is what a probe of a watch asks for: give --watch too, or leave it out.")
        settings, opened_store = opened(store, probe=False)
        if run is not None:
            known_run(opened_store, run)
        with syncing(settings, opened_store) as (syncer, target):
            report(locked_pass(syncer, target, run), target)
        return
    with stop_requests() as stop:
        stop.raises = True
        try:
            if ready_file is not None:
                await_store(store, Forever(stop), ready_file)
            watch_on(run, watch, beside, stop, store)
        except InterruptedRunError:
            return


def await_store(store: str | None, waiting: "Waiting", ready_file: Path) -> None:
    """Return once the store takes our keys, and make the file that a readiness probe asks for."""
    from kubetune.tracking.source import Sources
    from kubetune.tracking.sync import wait_for_store

    ready_file.unlink(missing_ok=True)
    wait_for_store(lambda: Sources(opened(store, retry=True, probe=False)[1]).list(), waiting, tell_outage)
    ready_file.touch()


def watch_on(run: str | None, every_s: float, beside: bool, stop: "StopRequest", store: str | None) -> None:
    """Sync again and again, until a signal or the end of the run that is watched beside.

    Raises:
        InterruptedRunError: A signal asked us to stop.
    """
    from kubetune.tracking.beside import FIRST_S, RunBeside, give_way
    from kubetune.tracking.sync import mirror_until_ended

    settings, opened_store = opened(store, retry=True, probe=False)
    with syncing(settings, opened_store) as (syncer, target):
        waiting: Waiting = Forever(stop)
        if beside:
            give_way()
            waiting = RunBeside()
        told: dict[str, str] = {}

        def step(last: bool) -> None:
            # The last pass sends what any earlier outage has left behind.
            done = locked_pass(syncer, target, None if last else run)
            for name, reason in done.refused.items():
                if told.get(name) != reason:
                    tell_outage(f"{name} is not mirrored: {reason}")
            told.update(done.refused)

        waiting.wait(FIRST_S if beside else 0.0)
        mirror_until_ended(step, every_s, waiting, tell_outage)


@app.command()
def rebuild(store: StoreUrl = None) -> None:
    """Remove what is this store's in MLflow, and make it again."""
    from kubetune.tracking.target import locked

    settings, opened_store = opened(store, probe=False)
    with syncing(settings, opened_store) as (syncer, target), locked(target):
        report(syncer.rebuild(), target)


@app.command()
def status(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """List the runs and models that MLflow does not have as they are now."""
    settings, opened_store = opened(store, probe=False)
    with syncing(settings, opened_store) as (syncer, target):
        runs, models = syncer.missing()
    if as_json:
        place = {"tracking": target.shown, "experiment": settings.tracking_experiment}
        print_json({**place, "runs": runs, "models": models})
        return
    if not runs and not models:
        say(f"All is mirrored in {target.shown}, experiment {settings.tracking_experiment}.")
        return
    rows = [["run", name] for name in runs] + [["model", name] for name in models]
    print_table(["not mirrored", "name"], rows)
    say("`kubetune tracking sync` does it.")


@contextmanager
def syncing(settings: "Settings", store: "Store") -> "Iterator[tuple[Syncer, MlflowTarget]]":
    """Open the mirror that the settings name.

    Raises:
        ConfigError: They name none.
    """
    from kubetune.errors import ConfigError
    from kubetune.tracking.mirror import Mirror
    from kubetune.tracking.sync import Syncer
    from kubetune.tracking.target import client_of, tracking_target

    target = tracking_target(settings)
    if target is None:
        raise ConfigError(
            "Nothing is mirrored: set KUBETUNE_TRACKING to http(s)://host[:port] of an MLflow server, or to local "
            "for a store in a folder."
        )
    with client_of(target, settings) as open_client:
        yield Syncer(Mirror(open_client, target, store, settings.tracking_experiment)), target


def locked_pass(syncer: "Syncer", target: "MlflowTarget", run: str | None) -> "Pass":
    """Do one pass while no other process on this machine does one."""
    from kubetune.tracking.target import locked

    with locked(target):
        return syncer.once(None if run is None else [run])


def report(done: "Pass", target: "MlflowTarget") -> None:
    """Print what a pass did."""
    say(f"{len(done.runs)} runs and {len(done.models)} models mirrored in {target.shown}.")
    done.raise_refused()


def tell_outage(line: str) -> None:
    """Print a line about an outage on standard error, with the time of day."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {line}", file=sys.stderr, flush=True)  # noqa: T201


class Forever:
    """Nothing is followed; SIGTERM ends it."""

    ended = False

    def __init__(self, stop: "StopRequest") -> None:
        self.stop = stop

    def wait(self, seconds: float) -> None:
        """Sleep; a signal that a library swallowed ends it too."""
        from kubetune.errors import InterruptedRunError

        end = time.monotonic() + seconds
        while not self.stop():
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(SLICE_S, left))
        raise InterruptedRunError("Stopped: what is not mirrored yet is sent by the next sync.")


POLL_S = 0.5


def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Loopback port of a local page.")] = 5000,
    store: StoreUrl = None,
) -> None:
    """Show runs and models in MLflow: of a server its address, of the local mirror a page until Ctrl-C."""
    from kubetune.errors import ConfigError, InterruptedRunError
    from kubetune.execution.signals import stop_requests
    from kubetune.tracking.target import tracking_target
    from kubetune.tracking.ui import served

    settings, _ = opened(store, probe=False)
    target = tracking_target(settings)
    if target is None:
        raise ConfigError("Nothing is mirrored: KUBETUNE_TRACKING is none; set it to local or to a server's address.")
    if target.artifacts is None:
        say(f"MLflow is at {target.uri}, experiment {settings.tracking_experiment}")
        return
    with stop_requests() as stop:
        try:
            with served(target, settings, port, stop) as url:
                say(f"ready: {url}   (Ctrl-C ends it)")
                while not stop():
                    time.sleep(POLL_S)
        except InterruptedRunError:
            return
