"""Is the result of this call there already? Its key, its inputs, and the one way in which a stage is skipped."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from kubetune.config.load import canonical
from kubetune.config.settings import Settings
from kubetune.errors import ConfigError, NothingToDoError, RefusedError
from kubetune.execution.champion import ChampionInput, champion_input
from kubetune.execution.platform import identity_of
from kubetune.keys import key_fields, key_of
from kubetune.plan import StageCall, plan
from kubetune.stages import PRODUCER
from kubetune.storage import commits
from kubetune.storage.base import Store
from kubetune.storage.blobs import tree_digest
from kubetune.storage.commit_record import Commit
from kubetune.storage.runs import create_run


@dataclass(frozen=True)
class StageResult:
    """Outcome of a stage call.

    Attributes:
        status: `ran`, `adopted` (another run's commit), `kept` (this run's own), `audited` or `effect`.
        commit: The commit that stands; for an effect, what it did (in `facts`).
        source: Run whose commit was adopted; empty otherwise.
        seconds: Wall time of this call.
        note: A sentence worth showing; empty otherwise.
    """

    status: str
    commit: Commit
    source: str = ""
    seconds: float = 0.0
    note: str = ""


def raise_for_verdict(result: StageResult) -> None:
    """Turn a committed refusal into its exit code, on the first run, on a retry and on adoption alike.

    Raises:
        RefusedError: The verdict is 77.
        NothingToDoError: The verdict is 99.
    """
    verdict = result.commit.verdict
    if verdict.passed:
        return
    outcome = result.commit.facts.get("outcome")
    said = f" says {outcome}" if isinstance(outcome, str) else ""
    sentence = f"Stage {result.commit.stage} of run {result.commit.run}{said}: " + " ".join(verdict.reasons)
    raise NothingToDoError(sentence) if verdict.code == NothingToDoError.exit_code else RefusedError(sentence)


@dataclass(frozen=True)
class PreparedCall:
    """A call with its place in the store: the commits it reads and the key it has.

    Attributes:
        call: Which stage of which run.
        inputs: Artifact name → the commit that holds it.
        fields: The named fields that the key was made of.
        key: Digest of all that the result depends on.
        champion: Further input of a stage that is given it.
        own: This run's commit of the stage, under whatever key; None: there was none, and an effect leaves none.
    """

    call: StageCall
    inputs: Mapping[str, Commit]
    fields: Mapping[str, str]
    key: str
    champion: ChampionInput | None = None
    own: Commit | None = None

    @property
    def digests(self) -> dict[str, str]:
        """Input → digest; that of the champion among them, for a stage that is given it."""
        found = {name: tree_digest(commit.outputs[name]) for name, commit in self.inputs.items()}
        return found | ({"champion": self.champion.digest} if self.champion is not None else {})


def prepare_call(call: StageCall, store: Store, settings: Settings) -> PreparedCall:
    """Record or compare the run's recipe, find the inputs and compute the key."""
    create_run(store, call.run, canonical(call.recipe), settings.log_url)
    stages = [item.stage for item in plan(call.recipe, call.run, until=call.stage.name)]
    found = commits.committed(store, call.run, [stage.name for stage in stages if stage.outputs])
    own = found.pop(call.stage.name, None)
    refuse_after_refusal(call, found)
    inputs = {name: input_commit(call, name, found) for name in call.stage.inputs}
    champion = champion_input(call, store, inputs, own) if call.stage.champion else None
    return with_key(PreparedCall(call, inputs, {}, "", champion, own), store, settings)


def with_key(prepared: PreparedCall, store: Store, settings: Settings) -> PreparedCall:
    """Return the call with its key and the fields that it was made of."""
    call = prepared.call
    identity = identity_of(call, settings, store) if call.stage.reaches_outside else None
    fields = key_fields(call.stage, call.recipe, prepared.digests, identity)
    return replace(prepared, fields=fields, key=key_of(fields))


def refuse_after_refusal(call: StageCall, before: Mapping[str, Commit]) -> None:
    """Raise what a gate before this stage said, so that nothing runs after a refusal by any road.

    A manual override with a reason stands above a decision to keep the champion (99), never above a refusal (77).

    Args:
        call: Which stage of which run.
        before: The run's commits of the stages before it, by stage in plan order.
    """
    for found in before.values():
        if found.verdict.code == NothingToDoError.exit_code and call.override is not None and call.override.why:
            continue
        raise_for_verdict(StageResult("kept", found))


def input_commit(call: StageCall, artifact: str, before: Mapping[str, Commit]) -> Commit:
    """Return the commit of this run that holds an input.

    Raises:
        ConfigError: That stage has not run.
    """
    producer = PRODUCER[artifact].name
    found = before.get(producer)
    if found is None or artifact not in found.outputs:
        raise ConfigError(
            f"Stage {call.stage.name} of run {call.run} reads {artifact!r}, which stage {producer} has not committed: "
            f"run `kubetune stage {producer} --run {call.run}` first, or the whole plan with `kubetune run`."
        )
    return found


def adopt(prepared: PreparedCall, store: Store, attempt: str) -> StageResult | None:
    """Adopt a commit with this key from this run or any other, verdict included; None if there is none to trust."""
    call = prepared.call
    own = own_commit(prepared)
    entry = commits.find_result(store, call.stage.name, prepared.key, own)
    if entry.commit is None:
        return None
    if own is not None:
        return StageResult("kept", own)
    adopted = commits.adopt_commit(store, entry.commit, call.run, attempt)
    return StageResult("adopted", adopted, source=entry.commit.run)


def own_commit(prepared: PreparedCall) -> Commit | None:
    """Return this run's own commit of the stage, if there is one.

    Raises:
        ConfigError: It was made under another key.
    """
    call, own = prepared.call, prepared.own
    if own is not None and own.key != prepared.key:
        differ = [name for name in {*own.fields, *prepared.fields} if own.fields.get(name) != prepared.fields.get(name)]
        raise ConfigError(
            f"Run {call.run} has a commit of stage {call.stage.name} that was made under another key "
            f"({', '.join(sorted(differ))[:300]} differ): a run never changes, use a new run name."
        )
    return own
