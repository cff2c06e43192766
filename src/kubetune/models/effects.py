"""What the two effects do to the store around their bodies: a version is registered, an endpoint serves the champion.

The champion is the truth and the endpoint follows it: `deploy` serves what the registry names, whichever run asks, and
a champion that does not become ready is taken back, so that a repeated call always ends with the two in step.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from kubetune.clock import clock
from kubetune.config.load import recipe_of
from kubetune.config.settings import Settings
from kubetune.contract import Progress
from kubetune.errors import (
    ConfigError,
    CorruptArtifactError,
    InterruptedRunError,
    KubetuneError,
    TemporaryError,
)
from kubetune.execution.adopt import PreparedCall, StageResult
from kubetune.execution.policies import permit_registration, policies_of
from kubetune.execution.stage import Execution
from kubetune.models.lifecycle import apply_event
from kubetune.models.register import known, moved, register, try_again, withdraw
from kubetune.models.sign import sign_and_store, statement_of_run
from kubetune.models.transitions import VersionEvent
from kubetune.plan import call_of
from kubetune.storage import commits
from kubetune.storage.base import Store
from kubetune.storage.endpoints import Endpoint, ServedArchive, change_endpoint, read_endpoint
from kubetune.storage.registry import RegisteredModel, Version, read_model
from kubetune.storage.versions import archive_digest_of, files_of, read_document

ROUNDS = 5
"""Champions that one deployment serves one after the other before it leaves the next to another call."""


def apply_register(work: Execution) -> StageResult:
    """Record the version, and make it the champion if the decision or a person says so.

    Raises:
        ConfigError: Recipe or policy asks for a person's approval, and nobody gave it.
        RefusedError: The endpoint's policy does not allow it.
        NothingToDoError: The champion stays.
    """
    call = work.prepared.call
    permit_registration(policies_of(work.settings, work.store, call.endpoint), call, settled=is_settled(work))
    with work.body_result() as (result, _):
        done = work.record(result, {})
    said = {"by": call.override.by, "why": call.override.why} if call.override is not None else {}
    # Signed first: a champion whose archive no server may take would take the endpoint down.
    sign_and_store(
        work.store, work.settings, statement_of_run(work.store, call.run, call.endpoint, {**done.facts, **said})
    )
    model, version = register(call, work.store, clock())
    facts = {
        **done.facts,
        "model": model.name,
        "version": version.number,
        "aliases": model.aliases(),
        "moved": moved(model, call.run),
    }
    return StageResult("effect", replace(done, facts=facts))


def is_settled(work: Execution) -> bool:
    """Whether the run's archive is the champion already, so that registering it moves nobody."""
    call = work.prepared.call
    own, model = commits.read_commit(work.store, call.run, "package"), read_model(work.store, call.endpoint)
    if own is None or model is None or model.champion is None:
        return False
    return model.champion.archive == archive_digest_of(own.outputs["archive"])


def apply_deploy(work: Execution) -> StageResult:
    """Serve the champion; the desired state is recorded before it, what came of it after it.

    Raises:
        NotReadyError: It did not become ready; the one before it is the champion again, and serves.
        DataError: It has no valid statement where one is asked for: as not ready.
        ConfigError: It cannot be served here: as not ready, unless nothing was served before.
        InterruptedRunError: It was asked to stop; the same holds for a run, and a repeated call tries it again.
        CorruptArtifactError: The store has lost or damaged its archive: as not ready, and its run packages it anew.
        TemporaryError: Another run changed the endpoint meanwhile, or the champion changed again and again.
    """
    call, store = work.prepared.call, work.store
    if (own := own_archive(work)) is not None:
        try_again(store, call.endpoint, own, clock())
    for _ in range(ROUNDS):
        done = serve_version(work, champion_of(store, call.endpoint))
        if done is not None:
            return done
        work.progress.note(f"the champion of {call.endpoint} changed meanwhile: it is served instead")
    raise TemporaryError(f"The champion of {call.endpoint} changed {ROUNDS} times while it was served: run this again.")


def own_archive(work: Execution) -> str | None:
    """Return the digest of the archive of the run that deploys; None outside any run."""
    own = work.prepared.inputs.get("archive")
    return archive_digest_of(own.outputs["archive"]) if own is not None else None


def serve_version(work: Execution, version: Version) -> StageResult | None:
    """Serve a version; None: it is not the champion any more, so what is has to be served after all.

    The champion is looked up again behind the desired state and behind what is recorded of it: whoever moves the
    champion after either look records a later desired state, and so finds out, or is found out, by the epoch.
    """
    call, store = work.prepared.call, work.store
    document = read_document(store, version)
    files = files_of(document, "archive")
    if own_archive(work) not in (None, version.archive):
        work.progress.note(
            f"version {version.number} of run {version.run} is the champion of {call.endpoint}: it is served"
        )
    wanted = ServedArchive(version.run, files)
    former: list[ServedArchive | None] = [None]

    def desire(endpoint: Endpoint) -> Endpoint:
        # The same archive was desired by a killed attempt: what was seen to serve is what stood before it.
        former[0] = endpoint.desired if endpoint.desired != wanted else endpoint.observed
        return replace(endpoint, desired=wanted)

    def revert(endpoint: Endpoint) -> Endpoint:
        return replace(endpoint, desired=former[0])

    epoch = change_endpoint(store, call.endpoint, desire, event="deploy", at=clock()).epoch
    if not is_champion(store, call.endpoint, version):
        record_observed(work, epoch, "rollback", revert)
        return None
    try:
        with work.body_result(archive=files) as (result, _):
            done = work.record(result, {})
    except BaseException as error:
        take_back(work, version, document, error)
        # Whoever deployed meanwhile desires something else: then that stands.
        record_observed(work, epoch, "rollback", revert)
        raise
    if not record_observed(
        work, epoch, "serving", lambda endpoint: replace(endpoint, observed=wanted, facts=dict(result.facts))
    ):
        if is_overserved(store, call.endpoint, epoch):
            return None
        # Else the world would be this run's and the record, which `gc` believes, another's.
        raise TemporaryError(f"Endpoint {call.endpoint} was changed by another run meanwhile: run this again.")
    if not is_champion(store, call.endpoint, version):
        return None
    return StageResult("effect", replace(done, facts={**done.facts, "version": version.number}))


def is_champion(store: Store, name: str, version: Version) -> bool:
    """Whether a version is the champion still."""
    champion = known(store, name).champion
    return champion is not None and champion.archive == version.archive


def is_overserved(store: Store, name: str, epoch: int) -> bool:
    """Whether the champion was served to the end since a desired state, whose archive may stand in its place now.

    Its deployment was told that all is well, so nobody repeats it; one that was not yet ends, or is repeated.
    """
    champion, endpoint = known(store, name).champion, read_endpoint(store, name)
    if champion is None or endpoint is None or served_archive(endpoint) != champion.archive:
        return False
    return any(line["epoch"] > epoch and line["event"] == "serving" for line in endpoint.history)


def served_archive(endpoint: Endpoint | None) -> str | None:
    """Return the digest of the archive that was last seen to serve; None: none was."""
    return archive_digest_of(endpoint.observed.files) if endpoint is not None and endpoint.observed else None


def take_back(work: Execution, version: Version, document: Mapping[str, Any], error: BaseException) -> None:
    """After a failed deployment, where what served before serves: make that the champion again, and say so.

    What a person asked for and stopped stays, and is finished by asking again: a rollback that was stopped would else
    go back once more. So does what served before this deployment: there is nothing else to go back to.
    """
    call, store = work.prepared.call, work.store
    if isinstance(error, CorruptArtifactError):
        commits.quarantine(store, "package", document["stages"]["package"]["key"], [error.digest], str(error))
    if not is_final(work, version, error):
        return
    served = served_archive(read_endpoint(store, call.endpoint))
    if served == version.archive:
        return
    # Without Java, say, no version serves, and that is no word about this one.
    keep_last = served is not None or isinstance(error, ConfigError)
    model = withdraw(store, call.endpoint, version.archive, clock(), str(error)[:300], keep_last=keep_last)
    champion = model.champion
    if champion is not None and champion.archive != version.archive:
        seen = ", and the one last seen to serve" if champion.archive == served else ""
        told = f"Version {version.number} of {model.name} was taken back: version {champion.number} is the champion"
        # In front, since what a notice may tell of bad data stands at the end of its sentence.
        error.args = (f"{told} again{seen}. {error}", *error.args[1:])


def is_final(work: Execution, version: Version, error: BaseException) -> bool:
    """Whether an error says that this version is not to be served, and not only that it was not yet."""
    if isinstance(error, InterruptedRunError):
        move = known(work.store, work.prepared.call.endpoint).last_move
        return own_archive(work) == version.archive and (move is None or move["event"] != "rolled-back")
    return isinstance(error, KubetuneError) and not isinstance(error, TemporaryError)


def record_observed(work: Execution, epoch: int, event: str, change: Callable[[Endpoint], Endpoint]) -> bool:
    """Record what came of an effect, unless a later desired state stands; says whether it was recorded."""
    try:
        change_endpoint(work.store, work.prepared.call.endpoint, change, event=event, at=clock(), epoch=epoch)
    except KubetuneError as error:
        work.progress.note(str(error))
        return False
    return True


def champion_of(store: Store, name: str) -> Version:
    """Return the version that an endpoint has to serve.

    Raises:
        ConfigError: Nothing was ever promoted.
        DataError: The champion was revoked.
    """
    model = read_model(store, name) or RegisteredModel(name)
    champion = model.champion
    apply_event(model, VersionEvent.SERVE, champion)
    return cast(Version, champion)  # the table refuses to serve none


def serve_champion(
    store: Store, settings: Settings, name: str, progress: Progress, should_stop: Callable[[], bool]
) -> StageResult:
    """Make the endpoint serve its model's champion, outside any run; free where it serves it already."""
    version = champion_of(store, name)
    recipe = recipe_of(read_document(store, version)["recipe"], f"The recorded recipe of run {version.run}")
    prepared = PreparedCall(call_of("deploy", recipe, version.run, name), {}, {}, "")
    return apply_deploy(Execution(prepared, store, settings, progress, should_stop, settings.attempt or "promotion"))


def is_pending(store: Store, name: str) -> bool:
    """Whether the endpoint has not yet been brought to what the registry names: a move was begun and not finished.

    What is desired counts beside what was seen: who was overtaken serves, and could not record it.
    """
    champion, endpoint = known(store, name).champion, read_endpoint(store, name)
    if champion is None or endpoint is None or endpoint.observed is None:
        return False
    targets = [target for target in (endpoint.desired, endpoint.observed) if target is not None]
    return any(archive_digest_of(target.files) != champion.archive for target in targets)
