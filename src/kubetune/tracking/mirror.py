"""Makes one run or model in MLflow what the store says. Each step may be repeated, and a kill between two is healed.

What was mirrored is marked last, by a tag with the digest of its state.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

from kubetune.errors import ConfigError, KubetuneError
from kubetune.storage.base import Store
from kubetune.storage.blobs import fetch_blob
from kubetune.tracking import facts
from kubetune.tracking.facts import BEGUN, FILE, MIRRORED, PARENT, RUN, STORE, Mirrored, Point
from kubetune.tracking.models import ARCHIVE, VERSION, WITHDRAWN, MirroredModel, MirroredVersion
from kubetune.tracking.target import MlflowTarget, tracking_errors

MOST_VALUES, MOST_TEXTS, PAGE = 800, 100, 1000
"""Metrics, and parameters or tags, of one request; results of one page."""
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Makes MLflow's UI show trainings; it guesses "GenAI" without a tag."""


class Mirror:
    """One MLflow experiment and registry, seen as the mirror of one store."""

    def __init__(self, open_client: Callable[[], Any], target: MlflowTarget, store: Store, experiment: str) -> None:
        self._open, self.target, self.store, self.experiment = open_client, target, store, experiment
        self.name = store_name(store)
        self._experiment_id: str | None = None
        self._sent: dict[str, set[Point]] = {}

    @cached_property
    def client(self) -> Any:
        """MLflow's client; opening one imports MLflow, and makes a local database that is not there yet."""
        return self._open()

    def errors(self) -> AbstractContextManager[None]:
        """Turn MLflow's errors of a block into ours."""
        return tracking_errors(self.target)

    def experiment_id(self, *, create: bool) -> str | None:
        """Return the id of the experiment; None: there is none and none shall be made.

        Raises:
            ConfigError: Somebody deleted it.
        """
        if self._experiment_id is not None or not (create or self.target.exists):
            return self._experiment_id
        with self.errors():
            found = self.client.get_experiment_by_name(self.experiment)
            if found is None and create:
                place = None if self.target.artifacts is None else self.target.artifacts.as_uri()
                try:
                    made = self.client.create_experiment(self.experiment, artifact_location=place, tags=KIND)
                    self._experiment_id = str(made)
                except Exception:  # another machine has just made it, or it is a real error, which comes again
                    found = self.client.get_experiment_by_name(self.experiment)
                    if found is None:
                        raise
        if found is not None:
            if found.lifecycle_stage != "active":
                raise ConfigError(
                    f"Experiment {self.experiment} was deleted in MLflow at {self.target.shown}: restore it there, or "
                    "set KUBETUNE_TRACKING_EXPERIMENT to another name."
                )
            self._experiment_id = str(found.experiment_id)
        return self._experiment_id

    def found_runs(self, only: Iterable[str] | None = None, *, clean: bool = False) -> dict[str, Any]:
        """Return run → its MLflow run, of all of this store or of some.

        Args:
            only: Names; None: all.
            clean: Remove the second one of a name. Two machines that mirror the same store at the same time, or an
                answer that was lost on the way, may have made one; whoever removes keeps the same: the first that is
                mirrored whole, to which the versions of a model point.
        """
        experiment = self.experiment_id(create=False)
        if experiment is None:
            return {}
        ours = f"tags.`{STORE}` = '{self.name}'"
        filters = [ours] if only is None else [f"{ours} and tags.`{RUN}` = '{run}'" for run in only]
        found: dict[str, list[Any]] = {}
        for text in filters:
            for run in self._pages(lambda token, text=text: self._search(experiment, text, token)):
                found.setdefault(run.data.tags[RUN], []).append(run)
        for copies in found.values():
            copies.sort(key=lambda run: (MIRRORED not in run.data.tags, str(run.info.run_id)))
            for extra in copies[1:] if clean else ():
                self.remove_run(extra)
        return {name: copies[0] for name, copies in found.items()}

    def _search(self, experiment: str, text: str, token: str | None) -> Any:
        return self.client.search_runs([experiment], text, max_results=PAGE, page_token=token)

    def _pages(self, search: Any) -> Iterator[Any]:
        token = None
        while True:
            with self.errors():
                page = search(token)
            yield from page
            token = page.token
            if not token:
                return

    def remove_run(self, found: Any) -> None:
        """Delete an MLflow run."""
        self._sent.pop(found.info.run_id, None)
        with self.errors():
            self.client.delete_run(found.info.run_id)

    def put_run(self, wanted: Mirrored, found: Any | None, parent: str | None, stamp: str) -> str:
        """Make an MLflow run what it shall be and return its id.

        Args:
            wanted: How it shall stand.
            found: How it stands; None: there is none.
            parent: MLflow run of its sweep; None: it has none.
            stamp: Digest of the state, for the mark.
        """
        if found is not None and found.data.tags.get(BEGUN) != wanted.tags[BEGUN]:
            self.remove_run(found)  # of a run of the same name that was deleted from the store
            found = None
        tags = {**wanted.tags, **({PARENT: parent} if parent is not None else {})}
        if found is None:
            identity = {name: tags[name] for name in (RUN, STORE, BEGUN)}
            with self.errors():
                experiment = self.experiment_id(create=True)
                found = self.client.create_run(experiment, wanted.begun, identity, wanted.name)
        run, standing = str(found.info.run_id), dict(found.data.tags)
        params = {name: text for name, text in wanted.params.items() if name not in found.data.params}
        changed = {name: text for name, text in tags.items() if standing.get(name) != text}
        self._send(run, wanted.points, params, changed)
        for path, file in wanted.files.items():
            if standing.get(f"{FILE}.{path}") != file.sha256:
                self._upload(run, path, file.sha256)
        with self.errors():
            self._drop_tags(run, standing, tags, wanted.files)
            if wanted.ended is not None:
                if (found.info.status, found.info.end_time) != (wanted.status, wanted.ended):
                    self.client.set_terminated(run, wanted.status, wanted.ended)
            elif found.info.status != wanted.status:
                self.client.update_run(run, status=wanted.status)
            self.client.set_tag(run, MIRRORED, stamp)
        if wanted.ended is not None:
            self._sent.pop(run, None)
        return run

    def _drop_tags(self, run: str, standing: Mapping[str, str], tags: Mapping[str, str], files: Iterable[str]) -> None:
        kept = {*tags, MIRRORED, *(f"{FILE}.{path}" for path in files)}
        for name in standing:
            if name.startswith("kubetune.") and name not in kept:
                self.client.delete_tag(run, name)

    def _send(self, run: str, points: Sequence[Point], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Log what was not sent yet; MLflow keeps one of equal values, so sending them again is safe."""
        from mlflow.entities import Metric, Param, RunTag

        sent = self._sent.setdefault(run, set())
        values = [Metric(item.name, item.value, item.at, item.step) for item in points if item not in sent]
        texts = [Param(name, text) for name, text in params.items()]
        marks = [RunTag(name, text) for name, text in tags.items()]
        with self.errors():
            while values or texts or marks:
                self.client.log_batch(run, values[:MOST_VALUES], texts[:MOST_TEXTS], marks[:MOST_TEXTS])
                values, texts, marks = values[MOST_VALUES:], texts[MOST_TEXTS:], marks[MOST_TEXTS:]
        sent.update(points)

    def _upload(self, run: str, path: str, digest: str) -> None:
        folder, _, name = path.rpartition("/")
        with tempfile.TemporaryDirectory(prefix="kubetune-tracking-") as scratch:
            copy = Path(scratch) / name
            fetch_blob(self.store, digest, copy)
            with self.errors():
                self.client.log_artifact(run, str(copy), folder or None)
                self.client.set_tag(run, f"{FILE}.{path}", digest)

    def found_models(self) -> dict[str, Any]:
        """Return name → registered model, of all of this store."""
        if not self.target.exists:
            return {}
        text = f"tags.`{STORE}` = '{self.name}'"
        pages = self._pages(lambda token: self.client.search_registered_models(text, PAGE // 10, page_token=token))
        return {str(model.name): model for model in pages}

    def remove_model(self, name: str) -> None:
        """Delete a registered model with its versions."""
        with self.errors():
            self.client.delete_registered_model(name)

    def put_model(self, wanted: MirroredModel, found: Any | None, runs: Mapping[str, str]) -> None:
        """Make a registered model what it shall be.

        Args:
            wanted: How it shall stand.
            found: How it stands; None: there is none of this store.
            runs: Run → MLflow run, for the links from versions.

        Raises:
            ConfigError: The name belongs to somebody else there.
        """
        versions = self._versions(wanted.name) if found is not None else {}
        if found is not None and not follows(versions, wanted):
            # A version that was made twice, or by hand: numbers are never given again, so the model is made anew.
            self.remove_model(wanted.name)
            found, versions = None, {}
        if found is None:
            self._create_model(wanted.name)
        for version in wanted.versions:
            self._put_version(wanted.name, version, versions.get(version.number), runs.get(version.run))
        with self.errors():
            self._put_aliases(wanted, {} if found is None else found.aliases)
            for name, text in sorted(wanted.tags.items(), key=lambda item: item[0] == MIRRORED):  # the mark last
                self.client.set_registered_model_tag(wanted.name, name, text)

    def _put_version(self, name: str, wanted: MirroredVersion, found: Any | None, run: str | None) -> None:
        withdrawn = "" if found is None else found.tags.get(WITHDRAWN, "")
        with self.errors():
            if found is None:
                self._create_version(name, wanted, run)
            if wanted.withdrawn and wanted.withdrawn != withdrawn:
                self.client.set_model_version_tag(name, str(wanted.number), WITHDRAWN, wanted.withdrawn)
            elif withdrawn and not wanted.withdrawn:
                self.client.delete_model_version_tag(name, str(wanted.number), WITHDRAWN)

    def _put_aliases(self, wanted: MirroredModel, standing: Mapping[str, str]) -> None:
        for alias in standing:
            if alias not in wanted.aliases:
                self.client.delete_registered_model_alias(wanted.name, alias)
        for alias, number in wanted.aliases.items():
            if standing.get(alias) is None or int(standing[alias]) != number:
                self.client.set_registered_model_alias(wanted.name, alias, str(number))

    def _versions(self, name: str) -> dict[int, Any]:
        text = f"name = '{name}'"
        pages = self._pages(lambda token: self.client.search_model_versions(text, PAGE // 10, page_token=token))
        return {int(version.version): version for version in pages}

    def _create_model(self, name: str) -> None:
        try:
            with self.errors():
                self.client.create_registered_model(name, tags={STORE: self.name})
        except KubetuneError as error:
            if "already exists" not in str(error):
                raise
            raise ConfigError(
                f"MLflow at {self.target.shown} has a registered model {name} that is not of this store: rename or "
                "remove it there; it was left alone."
            ) from error

    def _create_version(self, name: str, version: MirroredVersion, run: str | None) -> None:
        made = self.client.create_model_version(
            name, version.source, run_id=run, tags=dict(version.fixed), await_creation_for=0
        )
        if int(made.version) != version.number:
            raise KubetuneError(
                f"MLflow gave version {version.number} of model {name} the number {made.version}: somebody else wrote "
                "there meanwhile; the next sync makes the model anew."
            )


def follows(versions: Mapping[int, Any], wanted: MirroredModel) -> bool:
    """Whether the versions in MLflow are the first of those that shall be there."""
    known = {version.number: version.fixed for version in wanted.versions}
    return sorted(versions) == list(range(1, len(versions) + 1)) and all(
        number in known and all(version.tags.get(name) == known[number][name] for name in (VERSION, ARCHIVE))
        for number, version in versions.items()
    )


def store_name(store: Store) -> str:
    """Return the name of a store in tags: its address, fit for a filter."""
    return facts.shortened_param(store.url.replace("'", "%27"), facts.LONGEST_NAME, " ... cut")
