"""A signature that a person ended: where archives are checked, where they are signed, and as it is typed."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import chain_toys
from kubetune import layout
from kubetune.cli.app import app
from kubetune.config.settings import Settings
from kubetune.errors import ConfigError, DataError, KubetuneError
from kubetune.execution.platform import trust_for
from kubetune.models.register import known
from kubetune.models.revoke import revoke
from kubetune.models.sign import sign_and_store, statement_of_run
from kubetune.plan import ManualOverride
from kubetune.provenance.keys import load_signing_key, write_key_pair
from kubetune.provenance.revocations import Revocation, Revocations, weights_of
from kubetune.provenance.trust import Trust, revocations_file, write_beside
from kubetune.storage import commits
from kubetune.storage.blobs import tree_digest
from kubetune.storage.local import LocalStore
from kubetune.storage.registry import Event, RegisteredModel, Version, change_model, set_champion, with_version
from kubetune.storage.runs import create_run
from kubetune.storage.statements import read_revocations

ARCHIVE = chain_toys.digest("file", "archive")
WEIGHTS = tree_digest(chain_toys.files_of("model", None))
WORD = ManualOverride("ada", "it quotes its training rows")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    write_key_pair(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def settings(keys: Path) -> Settings:
    return Settings(signing_key=keys / "signing.key", trusted_keys=keys / "signing.pub")


@pytest.fixture
def store(tmp_path: Path, settings: Settings) -> LocalStore:
    """Model tweets with version 1 of other weights and champion 2, which run tweets-1 made; its archive is signed."""
    found = LocalStore(tmp_path / "store")
    create_run(found, "tweets-1", {"name": "tweets"})
    for commit in chain_toys.commits("tweets-1").values():
        commits.create_commit(found, commit)
    sign_and_store(found, settings, statement_of_run(found, "tweets-1", "tweets"))

    def registered(model: RegisteredModel) -> tuple[RegisteredModel, Event]:
        for archive, weights in (("a" * 64, "b" * 64), (ARCHIVE, WEIGHTS)):
            fresh = Version(0, "tweets-1", archive, weights, "d" * 64, "promote", "")
            model, version = with_version(model, fresh)
            model = set_champion(model, version.number)
        return model, Event("promoted", "")

    change_model(found, "tweets", registered)
    return found


@pytest.fixture
def into(tmp_path: Path) -> Path:
    (tmp_path / "archives").mkdir()
    return tmp_path / "archives"


def say(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    if isinstance(done.exception, KubetuneError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def listed(store: LocalStore) -> bytes:
    found = store.get(layout.REVOCATIONS)
    assert found is not None
    return found.data


def test_a_revoked_version_verifies_no_more_and_a_reinstated_one_does(store, settings, into) -> None:
    """The toy chain's weights are the version's, so that every archive of them is meant."""
    trust = trust_for(settings, "tweets", store)
    assert weights_of(trust.require(into, ARCHIVE)) == WEIGHTS
    done = revoke(store, settings, "tweets@2", "2026-01-02T03:04:05Z", WORD)
    assert (done.epoch, done.version.withdrawn) == (2, "revoked")
    told = r"signed and not to be served: version 2 of tweets was revoked by ada at 2026-01-02T03:04:05Z \(it quotes"
    with pytest.raises(DataError, match=told) as caught:
        trust.require(into, ARCHIVE)  # although its statement lies beside it
    assert caught.value.exit_code == 65 and caught.value.rule == "revoked"
    before = listed(store), known(store, "tweets")
    assert revoke(store, settings, "tweets@2", "later", WORD).epoch == 2
    assert before == (listed(store), known(store, "tweets")), "a second call changes nothing"
    assert revoke(store, settings, "tweets@2", "", ManualOverride("ada", "wrong one"), undo=True).epoch == 3
    assert trust.require(into, ARCHIVE)
    assert [line["event"] for line in known(store, "tweets").history[-2:]] == ["revoked", "reinstated"]


def test_the_pod_without_a_store_goes_by_the_list_that_lies_beside_the_archive(store, settings, into) -> None:
    trust_for(settings, "tweets", store).require(into, ARCHIVE)
    offline = trust_for(settings, "tweets")
    assert offline.require(into, ARCHIVE)
    revoke(store, settings, "tweets@2", "", WORD)
    with pytest.raises(DataError, match="revoked by ada"):
        trust_for(settings, "tweets", store).require(into, ARCHIVE)
    key = load_signing_key(settings.signing_key)
    entry = Revocation("tweets", 2, "c" * 64, WEIGHTS, "ada", "why", "")
    write_beside(revocations_file(into), Revocations(2, (entry,)).signed(key))
    with pytest.raises(DataError, match="revoked by ada"):
        offline.require(into, ARCHIVE)
    revocations_file(into).unlink()
    with pytest.raises(DataError, match="nobody can say that an archive is still to be served"):
        offline.require(into, ARCHIVE)


def test_a_list_that_is_missing_broken_or_a_strangers_stops_the_archive(store, settings, into, tmp_path) -> None:
    trust, good = trust_for(settings, "tweets", store), listed(store)
    store.delete(layout.REVOCATIONS)
    with pytest.raises(DataError, match="has no list of revoked versions"):
        trust.require(into, ARCHIVE)
    store.put(layout.REVOCATIONS, good[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        trust.require(into, ARCHIVE)
    store.delete(layout.REVOCATIONS)
    write_key_pair(tmp_path / "stranger")
    stranger = Settings(signing_key=tmp_path / "stranger" / "signing.key")
    sign_and_store(store, stranger, statement_of_run(store, "tweets-1", "other"))
    with pytest.raises(DataError, match="list of revoked versions is not valid: it is signed by"):
        trust.require(into, ARCHIVE)
    store.put(layout.REVOCATIONS, store.get(layout.statement("tweets", ARCHIVE)).data)
    with pytest.raises(DataError, match=r"payload is of type 'application/vnd.in-toto"):
        trust.require(into, ARCHIVE)
    assert not list(into.iterdir())
    store.put(layout.REVOCATIONS, good)
    assert trust.require(into, ARCHIVE)


def test_an_old_list_that_is_put_back_is_refused(store, settings, into) -> None:
    old = listed(store)
    revoke(store, settings, "tweets@1", "", WORD)  # another one; this archive stays good
    trust = trust_for(settings, "tweets", store)
    assert trust.require(into, ARCHIVE)
    store.put(layout.REVOCATIONS, old)
    with pytest.raises(DataError, match="has epoch 1, and 2 was seen here"):
        trust.require(into, ARCHIVE)
    fresh = into / "new-pod"
    fresh.mkdir()
    assert trust.require(fresh, ARCHIVE), "nobody has seen anything there, and nobody said what to expect"
    bound = trust_for(settings.model_copy(update={"revocation_epoch": 2}), "tweets", store)
    with pytest.raises(DataError, match=r"has epoch 1, and 2 is asked for \(KUBETUNE_REVOCATION_EPOCH"):
        bound.require(fresh, ARCHIVE)
    with pytest.raises(DataError, match="lacks version 1 of tweets, and the registry"):
        sign_and_store(store, settings, statement_of_run(store, "tweets-1", "tweets"))
    with pytest.raises(DataError, match="lacks version 1 of tweets"):
        revoke(store, settings, "tweets@2", "", WORD)
    assert listed(store) == old, "what would forget a revocation is not signed over"


def test_the_same_weights_in_another_archive_are_refused_and_another_model_is_not(store, settings, into) -> None:
    revoke(store, settings, "tweets@2", "", WORD)
    entry = read_and_parse(store, settings).entries[0]
    assert read_and_parse(store, settings).of("tweets", "e" * 64, WEIGHTS) == entry
    assert read_and_parse(store, settings).of("tweets", "e" * 64, "f" * 64) is None
    sign_and_store(store, settings, statement_of_run(store, "tweets-1", "staging"))
    assert trust_for(settings, "staging", store).require(into, ARCHIVE)


def read_and_parse(store: LocalStore, settings: Settings) -> Revocations:
    from kubetune.provenance.keys import load_trusted_keys
    from kubetune.provenance.revocations import verify_revocations

    return verify_revocations(read_revocations(store), load_trusted_keys(settings.trusted_keys))


def test_a_new_key_signs_what_a_trusted_one_signed_and_nothing_else(store, settings, into, tmp_path) -> None:
    revoke(store, settings, "tweets@1", "", WORD)
    write_key_pair(tmp_path / "new")
    new = settings.model_copy(update={"signing_key": tmp_path / "new" / "signing.key", "trusted_keys": None})
    with pytest.raises(DataError, match="list of revoked versions is not valid: it is signed by"):
        sign_and_store(store, new, statement_of_run(store, "tweets-1", "tweets"))
    rotating = new.model_copy(update={"trusted_keys": settings.trusted_keys})
    sign_and_store(store, rotating, statement_of_run(store, "tweets-1", "tweets"))
    assert len(read_revocations(store)["signatures"]) == 2
    for public in (settings.trusted_keys, tmp_path / "new" / "signing.pub"):
        found = read_and_parse(store, Settings(trusted_keys=public))
        assert (found.epoch, [entry.version for entry in found.entries]) == (2, [1])
        assert trust_for(Settings(trusted_keys=public), "tweets", store).find(into, ARCHIVE)
    empty = tmp_path / "absent-secret"
    empty.mkdir()
    sign_and_store(store, settings.model_copy(update={"trusted_keys": empty}), statement_of_run(store, "tweets-1", "x"))


def test_without_a_key_the_registry_alone_hears_of_it_and_a_signed_list_is_not_passed_by(store, settings) -> None:
    with pytest.raises(ConfigError, match="by DAG `revoke`"):
        revoke(store, Settings(), "tweets@2", "", WORD)
    assert known(store, "tweets").version(2).withdrawn == ""
    store.delete(layout.REVOCATIONS)
    done = revoke(store, Settings(), "tweets@2", "", WORD)
    assert (done.epoch, done.version.withdrawn) == (None, "revoked")


@pytest.mark.parametrize("undo", [False, True])
def test_what_was_killed_half_way_is_finished_by_asking_again(store, settings, into, monkeypatch, undo) -> None:
    import kubetune.models.revoke as module

    if undo:
        revoke(store, settings, "tweets@2", "", WORD)
    step = "sign_revocations" if undo else "change_model"
    whole = getattr(module, step)
    monkeypatch.setattr(module, step, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        revoke(store, settings, "tweets@2", "", WORD, undo=undo)
    monkeypatch.setattr(module, step, whole)
    with pytest.raises(DataError, match="revoked by ada"):
        trust_for(settings, "tweets", store).find(into, ARCHIVE)
    sign_and_store(store, settings, statement_of_run(store, "tweets-1", "tweets"))  # nothing else is held up by it
    done = revoke(store, settings, "tweets@2", "", WORD, undo=undo)
    assert done.version.withdrawn == ("person" if undo else "revoked")
    assert (read_and_parse(store, settings).of("tweets", ARCHIVE) is None) is undo


def test_a_list_that_grew_is_read_by_whoever_trusts_the_key(settings) -> None:
    key = load_signing_key(settings.signing_key)
    entries = tuple(Revocation("m", n, f"{n:064x}", f"{n:064x}", "a", "w", "t") for n in range(500))
    envelope = Revocations(500, entries).signed(key)
    trust = Trust(settings.trusted_keys, "m", None, lambda: envelope)
    found, _ = trust._revocations(Path("/nonexistent"), trust_keys(settings))
    assert found.of("m", f"{499:064x}") is not None and replace(found, entries=()).of("m", f"{499:064x}") is None


def trust_keys(settings: Settings):
    from kubetune.provenance.keys import load_trusted_keys

    return load_trusted_keys(settings.trusted_keys)


def test_as_a_person_types_it(store, settings, keys, monkeypatch) -> None:
    place = ("--store", store.url)
    monkeypatch.setenv("KUBETUNE_SIGNING_KEY", str(settings.signing_key))
    monkeypatch.setenv("KUBETUNE_TRUSTED_KEYS", str(settings.trusted_keys))
    assert say("verify", "tweets-1", *place).startswith("valid: ")
    with pytest.raises(ConfigError, match="names no version"):
        say("revoke", "tweets", "--why", "x", *place)
    told = say("revoke", "tweets@2", "--why", "it quotes its training rows", "--by", "ada", *place)
    assert "version 2 of tweets is revoked" in told and "KUBETUNE_REVOCATION_EPOCH=2" in told
    assert "it is the champion and serves until its next start: `kubetune rollback tweets --why …`" in told
    with pytest.raises(DataError, match="version 2 of tweets was revoked by ada"):
        say("verify", "tweets-1", *place)
    shown = say("models", "tweets", *place)
    assert "revoked 2" in shown and shown.splitlines()[2].endswith("revoked")
    mark = "version 2 of tweets is revoked by ada at "
    assert mark in say("lineage", "tweets-1", *place) and mark in say("lineage", "tweets-1", *place, "--json")
    with pytest.raises(DataError, match="is the champion and was revoked: `kubetune rollback tweets`"):
        from kubetune.models.effects import champion_of

        champion_of(store, "tweets")
    say("revoke", "tweets@2", "--undo", "--why", "a mistake", *place)
    noted = say("verify", "tweets-1", *place)
    assert noted.startswith("valid: ") and "note: version 2 of tweets was rolled back" in noted
