"""Endpoint records: which archive a served name should serve, which it does, and since when."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kubetune import layout
from kubetune.errors import KubetuneError
from kubetune.storage.base import Store
from kubetune.storage.blobs import File, parse_files, tree_digest
from kubetune.storage.records import find_whole, update

FORMAT = 1
HISTORY = 50


@dataclass(frozen=True)
class ServedArchive:
    """An archive that an endpoint can serve. It names its files, so it outlives the run that made it.

    Attributes:
        run: Run that made it.
        files: Files of the archive.
    """

    run: str
    files: tuple[File, ...]

    @property
    def digest(self) -> str:
        """Digest of the archive."""
        return tree_digest(self.files)

    def to_json(self) -> dict[str, Any]:
        """As it stands in the record."""
        return {"run": self.run, "files": [file.to_json() for file in self.files]}


@dataclass(frozen=True)
class Endpoint:
    """One served name.

    Attributes:
        name: Its name.
        epoch: Grows by one with each change; a writer that saw an older one has lost.
        desired: What it should serve; None: nothing.
        observed: What was last seen to answer its golden vectors; None: nothing.
        facts: Where and how it is served: address, process, server.
        history: Former states, oldest first: `{"epoch", "at", "event", "run", "archive"}`; the last 50.
    """

    name: str
    epoch: int = 0
    desired: ServedArchive | None = None
    observed: ServedArchive | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it stands in the store."""
        return {
            "format": FORMAT,
            "name": self.name,
            "epoch": self.epoch,
            "desired": self.desired.to_json() if self.desired else None,
            "observed": self.observed.to_json() if self.observed else None,
            "facts": dict(self.facts),
            "history": [dict(item) for item in self.history],
        }


def parse_endpoint(value: Mapping[str, Any]) -> Endpoint:
    """Read an endpoint from a record; KeyError, TypeError or ValueError says that it is none."""
    if value["format"] != FORMAT:
        raise ValueError("unknown format")
    return Endpoint(
        name=str(value["name"]),
        epoch=int(value["epoch"]),
        desired=parse_target(value["desired"]),
        observed=parse_target(value["observed"]),
        facts=dict(value["facts"]),
        history=tuple(dict(item) for item in value["history"]),
    )


def parse_target(value: Mapping[str, Any] | None) -> ServedArchive | None:
    """Read a target from a record."""
    return None if value is None else ServedArchive(str(value["run"]), parse_files(value["files"]))


def read_endpoint(store: Store, name: str) -> Endpoint | None:
    """Return an endpoint's record; None if there is none.

    Raises:
        KubetuneError: It is broken: taken for none, its epoch and history would begin anew.
    """
    return find_whole(store, layout.endpoint(layout.check_run(name)), parse_endpoint).value


def list_endpoints(store: Store) -> list[Endpoint]:
    """Return all endpoints by name."""
    names = [entry.key.removeprefix(layout.ENDPOINTS).removesuffix(".json") for entry in store.list(layout.ENDPOINTS)]
    found = [read_endpoint(store, name) for name in sorted(names)]
    return [endpoint for endpoint in found if endpoint is not None]


def change_endpoint(
    store: Store, name: str, change: Callable[[Endpoint], Endpoint], *, event: str, at: str, epoch: int | None = None
) -> Endpoint:
    """Change an endpoint's record by compare-and-set; the epoch grows and the history gains a line.

    Args:
        store: Store.
        name: Endpoint name.
        change: Returns the record with other `desired`, `observed` or `facts`; may be called more than once.
        event: Word for the history, for example `deploy` or `rollback`.
        at: Time of day for the history (ISO 8601), from the caller.
        epoch: The epoch that the caller saw; None: whatever stands.

    Returns:
        The record that stands now.

    Raises:
        KubetuneError: Another writer changed the endpoint since `epoch`, or its record is broken.
    """

    def step(standing: Endpoint | None) -> dict[str, Any]:
        former = standing or Endpoint(name)
        if epoch is not None and former.epoch != epoch:
            raise KubetuneError(
                f"Endpoint {name!r} was changed by another process (epoch {former.epoch}, ours was {epoch}): "
                "look at it with `kubetune endpoints`, then deploy again if that is still wanted."
            )
        wanted = change(former)
        shown = wanted.desired
        line = {
            "epoch": former.epoch + 1,
            "at": at,
            "event": event,
            "run": shown.run if shown else None,
            "archive": shown.digest if shown else None,
        }
        history = (*former.history, line)[-HISTORY:]
        return replace(wanted, name=name, epoch=former.epoch + 1, history=history).to_json()

    changed = update(store, layout.endpoint(layout.check_run(name)), parse_endpoint, step, required=True)
    if changed is None:
        raise KubetuneError(f"Endpoint {name!r} was not written: this is a bug.")
    return changed


def delete_endpoint(store: Store, name: str) -> bool:
    """Remove an endpoint's record; returns whether there was one."""
    return store.delete(layout.endpoint(layout.check_run(name)))
