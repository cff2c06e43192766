"""Statements meet store and settings: what stage `register` signs, and what is trusted where archives are served."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kubetune.config.settings import Settings
from kubetune.errors import ConfigError, DataError
from kubetune.models.history import commits_of
from kubetune.provenance.chain import archive_of
from kubetune.provenance.envelope import sign, verify_envelope
from kubetune.provenance.keys import key_id, load_signing_key, load_trusted_keys
from kubetune.provenance.revocations import RULE, Revocations, verify_revocations
from kubetune.provenance.statement import build_statement, differing_stages
from kubetune.provenance.trust import Trust
from kubetune.storage.base import Store
from kubetune.storage.registry import REVOKED, RegisteredModel, read_model
from kubetune.storage.statements import (
    merged_signatures,
    put_statement,
    read_revocations,
    read_statement,
    update_revocations,
)

NOWHERE = Path("/nonexistent/statements")
"""Where no copy lies, so that the store alone is asked."""


def sign_and_store(store: Store, settings: Settings, statement: Mapping[str, Any]) -> str | None:
    """Sign a statement with the configured key and store it, with a list of revoked versions; again changes nothing.

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
            verify_envelope(standing, model, digest, {name: key.public_key()})
        except DataError:
            return False
        return True

    put_statement(store, model, digest, sign(statement, key), stays=ours)
    sign_revocations(store, settings, model)
    return name


def sign_revocations(
    store: Store,
    settings: Settings,
    model: str,
    change: Callable[[Revocations], Revocations] = lambda standing: standing,
) -> Revocations | None:
    """Change the list of revoked versions and sign it; without a change, make sure that our key has signed it.

    Args:
        store: Where it lies.
        settings: `signing_key` names the private key; without one nothing is signed. A list by other keys is believed
            where `trusted_keys` has them.
        model: What the registry calls revoked of this model has to stand in the list.
        change: Gets the entries that stand, returns those that shall stand. May be called more than once.

    Returns:
        The list that stands now; None where there is no key.

    Raises:
        ConfigError: The key cannot be used, or a list is there and no key.
        DataError: The standing list is by an unknown key, or older than the registry: to sign it would forget
            revocations.
    """
    if settings.signing_key is None:
        if change(Revocations()) != Revocations():
            require_signer(store, settings)
        return None
    key = load_signing_key(settings.signing_key)
    trusted = {key_id(key.public_key()): key.public_key()}
    if settings.trusted_keys is not None and has_keys(settings.trusted_keys):
        trusted |= load_trusted_keys(settings.trusted_keys)
    known = read_model(store, model) or RegisteredModel(model)

    def step(envelope: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        standing = Revocations() if envelope is None else verify_revocations(envelope, trusted)
        require_complete(standing, known, settings.revocation_epoch)
        wanted = change(standing)
        if envelope is not None and wanted.entries == standing.entries:
            ours = standing.signed(key)
            both = {**envelope, "signatures": merged_signatures(envelope["signatures"], ours["signatures"])}
            return None if both == envelope else both
        return Revocations(standing.epoch + 1, wanted.entries).signed(key)

    return verify_revocations(update_revocations(store, step) or {}, trusted)


def require_signer(store: Store, settings: Settings) -> None:
    """Refuse a revocation where it could not be signed.

    Raises:
        ConfigError: A list is there and no key.
    """
    if settings.signing_key is None and read_revocations(store) is not None:
        raise ConfigError(
            "The store's list of revoked versions is signed, and KUBETUNE_SIGNING_KEY names no key: run this where "
            "`register` runs, in a cluster by DAG `revoke`."
        )


def has_keys(path: Path) -> bool:
    """Whether anything is there: the Secret of trusted keys may be absent from a pipeline's namespace."""
    return not path.is_dir() or any(not file.name.startswith(".") for file in path.iterdir())


def require_complete(found: Revocations, model: RegisteredModel, least_epoch: int) -> None:
    """Refuse a list that an older one was put in the place of.

    Raises:
        DataError: It lacks what the registry calls revoked, or its epoch is too low.
    """
    lacking = [
        str(version.number)
        for version in model.versions
        if version.withdrawn == REVOKED and found.of(model.name, version.archive, version.model) is None
    ]
    if lacking or found.epoch < least_epoch:
        why = f"lacks version {', '.join(lacking)} of {model.name}" if lacking else f"has epoch {found.epoch}"
        raise DataError(
            RULE,
            f"The list of revoked versions {why}, and the registry or KUBETUNE_REVOCATION_EPOCH says more: restore the "
            "newest version of revocations.json in the bucket before anything is signed.",
        )


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


def verify_run(store: Store, run: str, model: str, keys: Path, least_epoch: int = 0) -> dict[str, Any]:
    """Return the statement of a run's archive as a model's: signed, not revoked, and saying what the commits say.

    Raises:
        DataError: It is missing, not valid, of another model, of another chain, or revoked.
        ConfigError: There is no such run, or no key can be read.
    """
    commits = commits_json(store, run)
    digest = archive_of(commits)
    if read_statement(store, model, digest) is None:
        raise DataError(
            "statement", f"Archive {digest[:12]} of run {run} has no statement as model {model} in {store.url}."
        )
    trust = Trust(keys, model, partial(read_statement, store), partial(read_revocations, store), least_epoch)
    statement = trust.find(NOWHERE, digest)
    if differ := differing_stages(statement, commits):
        raise DataError(
            "statement",
            f"The statement of archive {digest[:12]} is signed, but run {run} differs from it in {', '.join(differ)}: "
            "another run made the archive first.",
        )
    return statement
