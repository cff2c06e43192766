"""Deployment settings as the plain values that a stage body may see: nobody passes more than a stage needs."""

from contextlib import suppress
from functools import partial
from importlib import import_module
from queue import Empty, Queue
from threading import Thread
from typing import Any

from kubetune.config.environment import environment
from kubetune.config.settings import Settings, stage_environment, state_folder
from kubetune.data.bounds import WORDS, SourceBounds
from kubetune.errors import ConfigError, StoreUnavailableError
from kubetune.layout import PROBE
from kubetune.plan import StageCall
from kubetune.provenance.trust import Trust
from kubetune.redaction import quoted
from kubetune.storage.base import S3Settings, Store
from kubetune.storage.open import open_store
from kubetune.storage.statements import read_revocations, read_statement
from kubetune.storage.uploads import fetch_upload


def open_configured_store(settings: Settings, *, probe: bool = True) -> Store:
    """Open the store that the settings name.

    Raises:
        ConfigError: It cannot be used as asked.
        StoreUnavailableError: It does not answer.
    """
    return open_store(settings.store, s3_settings(settings), probe=probe)


def open_answering_store(settings: Settings, *, probe: bool = True) -> Store:
    """Open the store that the settings name for somebody who waits: one that is away is said soon.

    The bound is on the whole first contact, in a thread of its own: no time-out of a request covers a name that does
    not resolve or a server that sends a byte now and then.

    Raises:
        ConfigError: It cannot be used as asked.
        StoreUnavailableError: It does not answer within `store_answer_s`.
    """
    if "://" not in settings.store or settings.attempt:
        return open_configured_store(settings, probe=probe)
    found: Queue[Store | BaseException] = Queue()

    def reach() -> None:
        try:
            store = open_configured_store(settings, probe=probe)
            if not probe:
                with suppress(ConfigError):  # no right to look there: an answer, too
                    store.stat(PROBE)
            found.put(store)
        except BaseException as error:  # raised again where somebody waits for it
            found.put(error)

    Thread(target=reach, daemon=True, name="first contact").start()
    try:
        answer = found.get(timeout=settings.store_answer_s)
    except Empty:
        raise StoreUnavailableError(
            f"Store {settings.store} at {settings.s3_endpoint} did not answer inside {settings.store_answer_s:g} s: is "
            "it running, and is KUBETUNE_S3_ENDPOINT right? Nothing is lost, run the same command again when it "
            "answers; KUBETUNE_STORE_ANSWER_S allows it more time."
        ) from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def s3_settings(settings: Settings) -> S3Settings | None:
    """Return how the S3 server is reached; None where the settings do not say."""
    if not (settings.s3_endpoint and settings.s3_access_key and settings.s3_secret_key):
        return None
    token = settings.s3_session_token
    return S3Settings(
        endpoint=settings.s3_endpoint,
        access_key=settings.s3_access_key.get_secret_value(),
        secret_key=settings.s3_secret_key.get_secret_value(),
        session_token=token.get_secret_value() if token else None,
        region=settings.s3_region,
        ca_bundle=settings.ca_bundle,
        deadline=settings.store_deadline_s,
    )


def open_backup(settings: Settings, url: str, *, probe: bool) -> Store:
    """Open the store that a backup goes to or comes from.

    Args:
        settings: `backup_s3_…` name its server and keys; without them it is on the store's own server.
        url: A folder, `file:///folder` or `s3://bucket/prefix`.
        probe: Whether it is written.

    Raises:
        ConfigError: It cannot be used as asked, or not all of the three settings are there.
        StoreUnavailableError: It does not answer.
    """
    given = (settings.backup_s3_endpoint, settings.backup_s3_access_key, settings.backup_s3_secret_key)
    if not any(given):
        return open_store(url, s3_settings(settings), probe=probe)
    if not all(given):
        raise ConfigError(
            "The server of the backup needs its address and both keys: set KUBETUNE_BACKUP_S3_ENDPOINT, "
            "KUBETUNE_BACKUP_S3_ACCESS_KEY and KUBETUNE_BACKUP_S3_SECRET_KEY, or none for the store's own server."
        )
    own = {
        "s3_endpoint": settings.backup_s3_endpoint,
        "s3_access_key": settings.backup_s3_access_key,
        "s3_secret_key": settings.backup_s3_secret_key,
        "s3_session_token": None,
        "s3_region": settings.backup_s3_region,
    }
    return open_store(url, s3_settings(settings.model_copy(update=own)), probe=probe)


def outside(settings: Settings, store: Store | None = None) -> dict[str, Any]:
    """Return what `ingest` and `fetch` need to reach the outside."""
    proxies = {"https": settings.https_proxy, "http": settings.https_proxy} if settings.https_proxy else {}
    return {
        "hub_token": settings.hub_token.get_secret_value() if settings.hub_token else None,
        "hub_endpoint": settings.hub_endpoint,
        "offline": settings.offline,
        "proxies": proxies,
        "no_proxy": settings.no_proxy,
        "ca_bundle": str(settings.ca_bundle) if settings.ca_bundle else None,
        "sql_url": settings.sql_url.get_secret_value() if settings.sql_url else None,
        "s3": s3_settings(settings),
        "allowed_sources": allowed_sources(settings),
        "redirect_hosts": frozenset(host.strip().lower() for host in settings.redirect_hosts.split(",")) - {""},
        "bounds": SourceBounds(settings.source_max_bytes, settings.source_max_ratio, settings.source_timeout_s),
        "resolve_upload": None if store is None else partial(fetch_upload, store),
    }


def allowed_sources(settings: Settings) -> frozenset[str] | None:
    """Return the kinds of sources that recipes may name; None: all.

    Raises:
        ConfigError: The setting names another one.
    """
    words = {word.strip() for word in (settings.allowed_sources or "all").split(",")} - {""}
    if unknown := sorted(words - {"all", *WORDS}):
        raise ConfigError(
            f"KUBETUNE_ALLOWED_SOURCES names {quoted(', '.join(unknown))}: allowed are all, {', '.join(WORDS)}."
        )
    return None if "all" in words else frozenset(words)


def platform_for(call: StageCall, settings: Settings, store: Store) -> dict[str, Any]:
    """Return the deployment settings of one stage; never part of a result."""
    stage = call.stage
    if stage.reaches_outside:
        return outside(settings, store)
    values: dict[str, Any] = {"resources": getattr(call.recipe.resources, stage.name)}
    if stage.effect:
        values |= {
            "endpoint": call.endpoint,
            "state_dir": state_folder(settings),
            "port": settings.port,
            "serve_hosts": settings.serve_hosts,
            "ready_timeout_s": settings.ready_timeout_s,
            "trust": trust_for(settings, call.endpoint, store),
            "serving": settings.serving,
            "serving_namespace": settings.serving_namespace,
            "serving_release": settings.serving_release,
        }
    return values


def identity_of(call: StageCall, settings: Settings, store: Store | None = None) -> str | None:
    """Return what the outside thing is right now: a content digest, a version, a commit; None where it has none."""
    package, path = call.stage.chosen[0]
    source: Any = call.recipe
    for part in path.split(".")[:-1]:
        source = getattr(source, part)
    with environment(stage_environment(settings, outside=True)):
        found: str | None = import_module(package).identify(source, outside(settings, store))
    return found


def trust_for(settings: Settings, model: str, store: Store | None = None) -> Trust | None:
    """Return what an archive needs in order to be served here; None: nothing.

    Args:
        settings: `trusted_keys` names the public keys.
        model: Registered model, hence the endpoint, that is served.
        store: Where statements come from; None: they lie beside their archives.
    """
    if settings.trusted_keys is None:
        return None
    return Trust(
        keys=settings.trusted_keys,
        model=model,
        source=None if store is None else partial(read_statement, store),
        revocations=None if store is None else partial(read_revocations, store),
        least_epoch=settings.revocation_epoch,
    )
