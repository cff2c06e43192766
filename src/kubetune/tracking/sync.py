"""One pass over the store, and passes for ever: what changed is mirrored, an outage is waited out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from kubetune.errors import ConfigError, InterruptedRunError, KubetuneError, TemporaryError, TrackingAwayError
from kubetune.storage.records import digest_of
from kubetune.storage.registry import RegisteredModel, list_models
from kubetune.tracking.facts import MIRRORED, mirrored
from kubetune.tracking.mirror import Mirror
from kubetune.tracking.models import mirrored_model, record_digest
from kubetune.tracking.source import ListedRun, Sources

LONGEST_PAUSE_S = 300.0
FIRST_PAUSE_S, LONGEST_FIRST_PAUSE_S = 1.0, 30.0
LAST_S = 40.0
"""Seconds after the end of what is followed in which a last pass may still begin; a dead server costs 60 in all."""


@dataclass
class Pass:
    """What one pass did.

    Attributes:
        runs: Runs that were mirrored.
        models: Models that were mirrored.
        refused: Run or model → why it could not be.
    """

    runs: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def raise_refused(self) -> None:
        """Say what was left out.

        Raises:
            KubetuneError: Something was.
        """
        if self.refused:
            name, reason = next(iter(self.refused.items()))
            raise KubetuneError(f"{len(self.refused)} of the runs and models were not mirrored, {name} first: {reason}")


class Syncer:
    """Brings a mirror to the state of its store; remembers what it has seen, so that nothing new costs a listing."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self.sources = Sources(mirror.store)
        self._runs: dict[str, tuple[str, str]] = {}
        self._models: dict[str, str] = {}
        self._asked = False

    def once(self, only: Iterable[str] | None = None) -> Pass:
        """Mirror what changed.

        Args:
            only: Runs, with their sweeps; None: all.

        Raises:
            TrackingAwayError: MLflow does not answer; a later pass goes on.
        """
        try:
            return self._once(None if only is None else list(only))
        except KubetuneError:
            self.forget()  # what stands there may be other than remembered
            raise

    def forget(self) -> None:
        """Ask MLflow again what it has."""
        self._runs, self._models, self._asked = {}, {}, False

    def _once(self, only: list[str] | None) -> Pass:
        sources = self.sources.list()
        if only is not None:
            sources = chosen(sources, only)
        changed = [source for source in sources.values() if self._runs.get(source.run, ("", ""))[1] != source.stamp]
        found = {}
        if changed:
            everything = only is None and not self._asked
            names = None if everything else [source.run for source in changed]
            found = self.mirror.found_runs(names, clean=True)
            self._asked = self._asked or everything
        done = Pass()
        for source in changed:
            standing = found.get(source.run)
            if standing is not None and standing.data.tags.get(MIRRORED) == source.stamp:
                self._runs[source.run] = (str(standing.info.run_id), source.stamp)
                continue
            try:
                self._put(source, standing)
                done.runs.append(source.run)
            except (TrackingAwayError, TemporaryError, ConfigError):
                raise
            except KubetuneError as error:
                done.refused[source.run] = str(error)
        self._once_models(done)
        return done

    def _put(self, source: ListedRun, standing: object) -> None:
        records = self.sources.read(source)
        if records is None:
            return  # deleted meanwhile
        begun = digest_of([source.record.key, round(source.record.modified, 3), dict(records.recipe)])
        wanted = mirrored(records, self.mirror.name, begun)
        parent = self._runs[source.sweep][0] if source.sweep in self._runs else None
        run = self.mirror.put_run(wanted, standing, parent, source.stamp)
        self._runs[source.run] = (run, source.stamp)

    def _once_models(self, done: Pass) -> None:
        changed = [
            model for model in list_models(self.mirror.store) if self._models.get(model.name) != record_digest(model)
        ]
        found = self.mirror.found_models() if changed else {}
        for model in changed:
            standing = found.get(model.name)
            if standing is None or standing.tags.get(MIRRORED) != record_digest(model):
                try:
                    self.mirror.put_model(mirrored_model(model, self.mirror.name), standing, self._linked(model))
                    done.models.append(model.name)
                except (TrackingAwayError, TemporaryError):
                    raise
                except KubetuneError as error:
                    done.refused[f"model {model.name}"] = str(error)
                    continue
            self._models[model.name] = record_digest(model)

    def _linked(self, model: RegisteredModel) -> dict[str, str]:
        """Run → MLflow run, of those that made the model's versions."""
        names = {version.run for version in model.versions}
        linked = {name: self._runs[name][0] for name in names if name in self._runs}
        missing = sorted(names - set(linked))
        found = self.mirror.found_runs(missing) if missing else {}
        return linked | {name: str(run.info.run_id) for name, run in found.items()}

    def missing(self) -> tuple[list[str], list[str]]:
        """Return the runs and models whose state is not mirrored."""
        found, models = self.mirror.found_runs(), self.mirror.found_models()
        runs = [
            source.run
            for source in self.sources.list().values()
            if source.run not in found or found[source.run].data.tags.get(MIRRORED) != source.stamp
        ]
        names = [
            model.name
            for model in list_models(self.mirror.store)
            if model.name not in models or models[model.name].tags.get(MIRRORED) != record_digest(model)
        ]
        return sorted(runs), names

    def rebuild(self) -> Pass:
        """Remove all that is this store's in the experiment and the registry, and make it again."""
        for name in self.mirror.found_models():
            self.mirror.remove_model(name)
        for run in self.mirror.found_runs(clean=True).values():
            self.mirror.remove_run(run)
        self.forget()
        return self.once()


def chosen(sources: dict[str, ListedRun], only: list[str]) -> dict[str, ListedRun]:
    """Return some runs and their sweeps; one that does not exist (yet) is left out."""
    wanted = {*only, *(sources[name].sweep for name in only if name in sources)}
    return {name: source for name, source in sources.items() if name in wanted}


class Waiting(Protocol):
    """What a watch waits for between two passes."""

    @property
    def ended(self) -> bool:
        """Whether what is followed has ended: one more good pass, and the watch is over."""

    def wait(self, seconds: float) -> None:
        """Return after this time, or at once when it ends."""


def mirror_until_ended(
    step: Callable[[bool], object], every_s: float, waiting: Waiting, tell: Callable[[str], None]
) -> bool:
    """Pass again and again; returns once what is followed has ended, and whether the last pass was good.

    Args:
        step: One pass; its argument says whether it is the last.
        every_s: Seconds between passes, doubled with each outage up to five minutes.
        waiting: What is followed.
        tell: Told once of each outage, and of its end.
    """
    pause, end, away = every_s, float("inf"), False
    while True:
        ended = waiting.ended
        if ended and end == float("inf"):
            end, pause = monotonic() + LAST_S, min(pause, 2.0)
        try:
            step(ended)
        except InterruptedRunError:
            raise  # somebody asked us to stop
        except (TrackingAwayError, TemporaryError) as error:
            if not away:
                tell(str(error))
            away, pause = True, min(max(pause, 1.0) * 2, LONGEST_PAUSE_S)
            if ended and monotonic() + pause > end:
                return False
        else:
            if away:
                tell("MLflow answers again; what it missed was sent.")
            if ended:
                return True
            away, pause = False, every_s
        waiting.wait(pause)


def wait_for_store(reach: Callable[[], object], waiting: Waiting, tell: Callable[[str], None]) -> None:
    """Return once the store takes our keys: on a new cluster, bucket and user are made while the first pods start.

    Args:
        reach: Asks the store, with settings that are read anew: a Secret may have been corrected meanwhile.
        waiting: What the pauses are spent with.
        tell: Told each reason once, and the end of the wait.
    """
    pause, reported = FIRST_PAUSE_S, ""
    while True:
        try:
            reach()
        except InterruptedRunError:
            raise
        except (ConfigError, TemporaryError) as error:
            if str(error) != reported:
                reported = str(error)
                tell(f"waiting for the store: {reported}")
        else:
            if reported:
                tell("The store answers: the mirror begins.")
            return
        waiting.wait(pause)
        pause = min(pause * 2, LONGEST_FIRST_PAUSE_S)
