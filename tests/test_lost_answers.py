"""An answer of the store that is lost, and a person who moves the champion before the same thing is asked for again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from champion_toys import World, served_world
from fault_proxy import proxy_to
from kubetune import layout
from kubetune.errors import ConfigError, StoreUnavailableError
from kubetune.models.register import known, promote, roll_back, withdraw
from kubetune.plan import ManualOverride
from kubetune.provenance.keys import write_key_pair
from kubetune.storage.base import Store
from kubetune.storage.local import LocalStore
from kubetune.storage.registry import Event, RegisteredModel, Version, change_model, set_champion, with_version
from kubetune.storage.s3_http import Backoff
from s3_server import S3Server, make_bucket, running_moto

MODEL = layout.model("toy")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with running_moto() as address:
        yield make_bucket(S3Server(address, "moto", "moto-secret", "kubetune", real=False))


def three_versions(store: Store) -> None:
    """Of model toy; the champion is 3, after 2, after 1."""

    def registered(model: RegisteredModel) -> tuple[RegisteredModel, Event]:
        for number in range(1, 4):
            fresh = Version(0, f"run-{number}", f"{number:064x}", f"m{number}", "d" * 64, "keep", "")
            model = set_champion(with_version(model, fresh)[0], number)
        return model, Event("promoted", "")

    change_model(store, "toy", registered)


MOVES: dict[str, Callable[[Store], RegisteredModel]] = {
    "promote": lambda store: promote(store, "toy", 1, "", ManualOverride("ada", "asked for")),
    "rollback": lambda store: roll_back(store, "toy", "", ManualOverride("ada", "complaints")),
    "taken back": lambda store: withdraw(store, "toy", f"{3:064x}", "", "no answer"),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_change_whose_answer_is_lost_is_not_made_over_what_another_person_did(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, move: str
) -> None:
    """The client itself repeats the write, finds other bytes, and starts again from them; no request names it."""
    monkeypatch.setattr("kubetune.models.register.require_files", lambda *_: None)
    direct = server.open(prefix=move.replace(" ", "-"))
    three_versions(direct)
    with proxy_to(server.address) as proxy:
        store = server.open(proxy.url, prefix=move.replace(" ", "-"))
        wait = Backoff.wait

        def meanwhile(self: Backoff, cause: str) -> None:
            monkeypatch.setattr(Backoff, "wait", wait)
            promote(direct, "toy", 3, "", ManualOverride("bob", "no, this one"))
            promote(direct, "toy", 2, "", ManualOverride("bob", "or rather this one"))
            promote(direct, "toy", 3, "", ManualOverride("bob", "no, this one"))

        monkeypatch.setattr(Backoff, "wait", meanwhile)
        proxy.add("swallow", f"PUT /{server.bucket}/{move.replace(' ', '-')}/{MODEL}")
        model = MOVES[move](store)
    assert all(fault.times == 0 for fault in proxy.faults)
    assert model.champion is not None and model.champion.number == 3, "what bob said last"
    assert sum(line["by"] != "bob" for line in model.history) == 2, "its own line stands there once"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Its champion is version 3, after 2, after 1."""
    monkeypatch.setenv("KUBETUNE_STATE_DIR", str(tmp_path / "state"))
    return served_world(tmp_path, monkeypatch)


@pytest.fixture
def lose_answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The next change of the model lands, and the store is away before it says so."""
    swap = LocalStore.swap

    def landed(self: LocalStore, key: str, data: bytes, etag: str | None) -> str | None:
        done = swap(self, key, data, etag)
        if key == MODEL and done is not None:
            monkeypatch.setattr(LocalStore, "swap", swap)
            raise StoreUnavailableError("did not answer")
        return done

    return lambda: monkeypatch.setattr(LocalStore, "swap", landed)


def requests_in(folder: Path) -> list[Path]:
    return list((folder / "state" / "requests").glob("*"))


def test_a_promotion_is_not_repeated_over_a_persons_rollback(world: World, lose_answer, tmp_path: Path) -> None:
    lose_answer()
    with pytest.raises(StoreUnavailableError):
        world.promote(1, "--by", "ada")
    assert world.model.champion.number == 1
    world.rollback("--by", "bob")
    assert (world.serving, world.model.champion.number) == (3, 3)
    told = world.promote(1, "--by", "ada")
    assert "version 3 of toy is the champion and serves" in told
    assert "this request made version 1 the champion at" in told and "other words (--why) are another" in told
    assert (world.serving, world.model.champion.number) == (3, 3)
    assert not requests_in(tmp_path), "it has its answer"
    assert "version 1 of toy is the champion" in world.promote(1, "--by", "ada"), "so this is another request"
    assert world.model.champion.number == 1


def test_a_rollback_is_not_repeated_over_a_persons_promotion(world: World, lose_answer, tmp_path: Path) -> None:
    lose_answer()
    with pytest.raises(StoreUnavailableError):
        world.rollback("--by", "ada")
    world.promote(3, "--by", "bob")
    told = world.rollback("--by", "ada")
    assert "went from version 3 to version 2, and version 3, the champion since then, serves" in told
    assert (world.serving, world.model.line) == (3, (1, 2, 3))
    assert not requests_in(tmp_path)
    assert "went from version 3 to version 2, which serves" in world.rollback("--by", "ada")


def test_a_rollback_that_revokes_is_one_request(world: World, lose_answer, monkeypatch, tmp_path: Path) -> None:
    """The signature of what is left ends once the other one serves; a lost answer makes neither twice."""
    write_key_pair(tmp_path / "keys")
    monkeypatch.setenv("KUBETUNE_SIGNING_KEY", str(tmp_path / "keys" / "signing.key"))
    lose_answer()
    with pytest.raises(StoreUnavailableError):
        world.rollback("--revoke")
    assert [version.withdrawn for version in world.model.versions] == ["", "", "person"], "nothing serves yet"
    assert "toy@3 is revoked" in world.rollback("--revoke")
    assert (world.serving, world.model.line) == (2, (1, 2))
    assert [version.withdrawn for version in world.model.versions] == ["", "", "revoked"]
    before = world.store.get(layout.REVOCATIONS).data
    monkeypatch.delenv("KUBETUNE_SIGNING_KEY")
    with pytest.raises(ConfigError, match="names no key: run this where"):
        world.rollback("--revoke")
    assert (world.serving, world.model.line, world.store.get(layout.REVOCATIONS).data) == (2, (1, 2), before)


def test_other_words_and_refusals_are_no_repetitions(world: World, lose_answer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        world.promote(9)
    assert not requests_in(tmp_path), "a refusal is an answer"
    lose_answer()
    with pytest.raises(StoreUnavailableError):
        world.promote(1)
    assert len(requests_in(tmp_path)) == 1
    world.rollback()
    world.say("promote", "toy@1", "--why", "asked for once more")
    assert world.model.champion.number == 1


def test_what_cannot_be_noted_is_refused_unless_it_has_an_identity(world: World, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KUBETUNE_STATE_DIR", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"cannot be noted .* KUBETUNE_STATE_DIR .* or give --request"):
        world.promote(1)
    assert world.model.champion.number == 3
    world.promote(1, "--request", "ours")
    assert known(world.store, "toy").history[-1]["request"] == "ours"
