"""Statements meet store and settings: what stage `register` signs, and what is trusted where archives are served."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kubetune.config.settings import Settings
from kubetune.errors import DataError
from kubetune.history import commits_of
from kubetune.provenance.chain import archive_of
from kubetune.provenance.envelope import sign, verify
from kubetune.provenance.keys import key_id, load_signing_key, load_trusted_keys
from kubetune.provenance.statement import build_statement, differing_stages
from kubetune.provenance.trust import Trust
from kubetune.storage.base import Store
from kubetune.storage.statements import put_statement, read_statement


def sign_and_store(store: Store, settings: Settings, statement: Mapping[str, Any]) -> str | None:
    """Sign a statement with the configured key and store it; running it again changes nothing.

    A statement of the same model and archive that our key signed before stays, whatever it says: the first is the one
    that was served by. One that our key did not sign gives way.

    Args:
        store: Where it goes.
        settings: `signing_key` names the private key; without one nothing is signed.
        statement: As `build_statement` returns it.

    Returns:
        Id of the key; None where there is none.

    Raises:
        ConfigError: The key cannot be used.
    """
    if settings.signing_key is None:
        return None
    key = load_signing_key(settings.signing_key)
    name = key_id(key.public_key())
    model, digest = str(statement["predicate"]["model"]), str(statement["subject"][0]["digest"]["sha256"])

    def ours(standing: Mapping[str, Any]) -> bool:
        try:
            verify(standing, model, digest, {name: key.public_key()})
        except DataError:
            return False
        return True

    put_statement(store, model, digest, sign(statement, key), stays=ours)
    return name


def trust_for(settings: Settings, model: str, store: Store | None = None) -> Trust | None:
    """Return what an archive needs in order to be served here; None: nothing.

    Args:
        settings: `trusted_keys` names the public keys.
        model: Registered model, hence the endpoint, that is served.
        store: Where statements come from; None: they lie beside their archives.
    """
    if settings.trusted_keys is None:
        return None
    return Trust(settings.trusted_keys, model, None if store is None else partial(read_statement, store))


def commits_json(store: Store, run: str) -> list[dict[str, Any]]:
    """Return the commits of a run as provenance reads them."""
    return [commit.to_json() for commit in commits_of(store, run).values()]


def statement_of_run(store: Store, run: str, model: str, decision: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the unsigned statement of a run's archive as a version of a model.

    Raises:
        ConfigError: There is no such run.
        DataError: It has no archive yet, or its commits do not fit together.
    """
    commits = commits_json(store, run)
    return build_statement(model, archive_of(commits), commits, decision)


def verify_run(store: Store, run: str, model: str, keys: Path) -> dict[str, Any]:
    """Return the statement of a run's archive as a model's: signed by a trusted key, and saying what the commits say.

    Raises:
        DataError: It is missing, not valid, of another model, or of another chain.
        ConfigError: There is no such run, or no key can be read.
    """
    commits = commits_json(store, run)
    digest, trusted = archive_of(commits), load_trusted_keys(keys)
    envelope = read_statement(store, model, digest)
    if envelope is None:
        raise DataError(
            "statement", f"Archive {digest[:12]} of run {run} has no statement as model {model} in {store.url}."
        )
    statement = verify(envelope, model, digest, trusted)
    if differ := differing_stages(statement, commits):
        raise DataError(
            "statement",
            f"The statement of archive {digest[:12]} is signed, but run {run} differs from it in {', '.join(differ)}: "
            "another run made the archive first.",
        )
    return statement
