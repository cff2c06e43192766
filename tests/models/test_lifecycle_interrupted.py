"""What becomes of a version where the process dies before any write, and where somebody else acts before any write."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import lifecycle_toys as toys
from kubetune.config.settings import Settings
from kubetune.errors import DataError, KubetuneError
from kubetune.models.transitions import VersionEvent
from kubetune.provenance.keys import write_key_pair
from kubetune.storage.endpoints import read_endpoint
from kubetune.storage.versions import archive_digest_of
from lifecycle_toys import EVENTS, Scene, Step, Watched
from storage_contract import DiedError

E = VersionEvent


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("keys")
    write_key_pair(folder / "pair")
    return Settings(signing_key=folder / "pair" / "signing.key", trusted_keys=folder / "pair" / "signing.pub")


@pytest.fixture
def scene_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Callable[[str], Scene]:
    """Makes another copy of a scene at each call."""
    made: list[Scene] = []

    def fresh(state: str) -> Scene:
        made.append(toys.kept_scene(tmp_path / str(len(made)), monkeypatch, settings, state))
        return made[-1]

    return fresh


def carry_out(scene: Scene, step: Step) -> None:
    with suppress(KubetuneError):
        step(scene)


def then_served(event: VersionEvent) -> Step:
    """What a command does: it moves the champion, and what serves follows."""

    def both(scene: Scene) -> None:
        EVENTS[event](scene)
        scene.deploy()

    return both


def taken_back(scene: Scene) -> None:
    """A deployment that does not become ready, and the next one, which serves the champion of before."""
    scene.broken = scene.version().archive
    carry_out(scene, Scene.deploy)
    carry_out(scene, Scene.deploy)


KILLED: dict[str, tuple[str, Step]] = {
    "register": ("absent, no mark", EVENTS[E.DECISION_PROMOTE]),
    "register, no promotion": ("absent, no mark", EVENTS[E.DECISION_KEEP]),
    "override": ("registered, no mark", then_served(E.OVERRIDE)),
    "promote": ("former champion, no mark", then_served(E.PROMOTE)),
    "roll back": ("champion, no mark", then_served(E.ROLL_BACK)),
    "revoke": ("champion, no mark", EVENTS[E.REVOKE]),
    "reinstate": ("registered, revoked", EVENTS[E.REINSTATE]),
    "take back": ("champion, no mark", taken_back),
    "try again": ("registered, not ready", then_served(E.TRY_AGAIN)),
    "compare": ("registered, no mark", EVENTS[E.COMPARE]),
}


def count_writes(scene: Scene, step: Step) -> int:
    written: list[str] = []
    store, scene.store = scene.store, Watched(scene.store, written.append)
    carry_out(scene, step)
    scene.store = store
    return len(written)


def require_whole(scene: Scene, before: dict[str, Any]) -> None:
    """What holds at any moment, whoever died."""
    model, now = scene.model, toys.summary(scene.store)
    assert len(set(model.line)) == len(model.line)
    assert (
        set(before["statements"]) <= set(now["statements"])
        and before.get("compared", []) == now.get("compared", [])[: len(before.get("compared", []))]
    )
    revoked = {version.model for version in model.versions if version.withdrawn == "revoked"}
    assert revoked <= set(now["revoked"]), "the list says less than the registry"
    for version in model.versions:
        assert f"statements/toy/{version.archive}.json" in now["statements"], "registered and not signed"


SLOW = {"override", "promote", "try again", "register, no promotion"}


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=pytest.mark.slow if what in SLOW else ()) for what in KILLED]
)
def test_what_is_killed_before_any_write_and_asked_for_again_is_as_if_nobody_had_died(
    scene_of: Callable[[str], Scene], what: str
) -> None:
    state, step = KILLED[what]
    undisturbed = scene_of(state)
    writes = count_writes(undisturbed, step)
    assert writes >= 1
    for number in range(writes):
        scene, left = scene_of(state), [number]
        before, store = toys.summary(scene.store), scene.store

        def die(_: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise DiedError

        scene.store = Watched(store, die)
        with pytest.raises(DiedError):
            carry_out(scene, step)
        scene.store, scene.asked = store, 100  # the same request, by another process
        require_whole(scene, before)
        carry_out(scene, step)
        assert toys.summary(store) == toys.summary(undisturbed.store), f"killed before write {number + 1} of {writes}"


ACTS: dict[str, Step] = {
    "promote": EVENTS[E.PROMOTE],
    "roll back": EVENTS[E.ROLL_BACK],
    "revoke": EVENTS[E.REVOKE],
    "serve": EVENTS[E.SERVE],
    "override": EVENTS[E.OVERRIDE],
    "register": EVENTS[E.DECISION_STALE],
    "take back": partial(Scene.withdraw, archive="other"),
    "compare": EVENTS[E.COMPARE],
}
FEW = {"promote", "roll back", "revoke"}
PAIRS = [
    pytest.param(one, other, marks=() if {one, other} <= FEW else pytest.mark.slow) for one in ACTS for other in ACTS
]


def registry_of(scene: Scene) -> dict[str, Any]:
    return {name: value for name, value in toys.summary(scene.store).items() if name != "served"}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_of_two_who_act_at_once_one_comes_first(scene_of: Callable[[str], Scene], one: str, other: str) -> None:
    """Before each write of the one, the other acts: the records are as if they had come one after the other."""
    state = "former champion, no mark"
    orders = []
    for first, second in ((one, other), (other, one)):
        scene = scene_of(state)
        for number, name in enumerate((first, second)):
            carry_out(replace(scene, asked=100 + 400 * number), ACTS[name])
        orders.append(registry_of(scene))
    for number in range(count_writes(scene_of(state), ACTS[one])):
        scene, seen = scene_of(state), [0]
        store, bob = scene.store, replace(scene, asked=500)

        def meanwhile(_: str, seen: list[int] = seen, bob: Scene = bob, number: int = number) -> None:
            seen[0] += 1
            if seen[0] == number + 1:
                carry_out(bob, ACTS[other])

        scene.store = Watched(store, meanwhile)
        carry_out(scene, ACTS[one])
        scene.store = store
        assert registry_of(scene) in orders, f"{other} before write {number + 1} of {one}"
        champion = scene.model.champion
        assert champion is not None
        if scene.model.is_revoked(champion.model):
            with pytest.raises(DataError, match="is the champion and was revoked"):
                scene.deploy()
            continue
        scene.deploy()
        endpoint = read_endpoint(store, "toy")
        assert endpoint is not None and endpoint.desired == endpoint.observed
        assert archive_digest_of(endpoint.desired.files) == champion.archive
