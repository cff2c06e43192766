"""Kills what moves a champion at random moments: is there always one, is no alias half moved, is it what serves?

`compare`, `register`, `deploy` and `rollback` are real, on a toy model, with a store in a folder, with real SIGKILLs
and a real TorchServe. Two models take turns, so that every promotion moves the champion. An attempt is a fork of a
process that has its imports done. After each kill the record must be whole; after the same command has been repeated
to its end, registry, endpoint record and what TorchServe answers must name one archive. Prints a line a round and a
line a command; exits 1 if a claim does not hold.

A kill *hits* if the command was still running; it is *resumed* if the same command then came to its end. No call may
take longer than three minutes, and one that cannot be repeated ends the benchmark.

    python benchmarks/promotion_kills.py --kills 120 --deploy-kills 12 | --smoke
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from smoke import complete

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import toys
from kubetune.clock import clock
from kubetune.config.recipe import Recipe
from kubetune.execution.run import open_configured_store, run_stage
from kubetune.models.effects import is_pending, serve_champion
from kubetune.models.register import known, promote, roll_back
from kubetune.plan import ManualOverride, call_of, plan
from kubetune.serving.archive.manifest import archive_digest  # noqa: F401 (imported before forking, as all that deploy needs)
from kubetune.serving.local.target import LocalTarget
from kubetune.serving.torchserve.config import free_ports
from kubetune.stages import compare, deploy, package, register  # noqa: F401 (the same)
from kubetune.storage.commits import read_commit
from kubetune.storage.endpoints import read_endpoint
from kubetune.storage.registry import read_model
from kubetune.storage.versions import archive_digest_of
from pipelines import Silent, settings_of, toy_recipe

MODEL = "toy"
MODELS = (("training.seed=0",), ("training.seed=1",))
PREPARED = "behave"
LIMIT_S = 180.0
"""Of one call; the longest is a start of TorchServe, which takes a tenth of it."""
GUESSES = {"compare": 0.6, "register": 0.15, "deploy": 6.0, "rollback": 6.0}
"""Seconds of each command, as long as none was measured."""


class UnrepeatableError(Exception):
    """A command that was killed cannot be brought to its end."""


@dataclass(frozen=True)
class Attempt:
    """How a call ended: `done`, `killed` by us, `failed` by itself, or `stuck` until its limit; and its seconds."""

    how: str
    seconds: float


@dataclass
class Tally:
    """What became of the kills of one command.

    Attributes:
        kills: Calls that were to be killed.
        hit: Of them, those that were still running.
        resumed: Of these, those whose repetition came to its end.
        broken: What did not hold, a sentence each.
        seconds: Of the calls that came to their end.
    """

    kills: int = 0
    hit: int = 0
    resumed: int = 0
    broken: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def median(self, guess: float) -> float:
        """Seconds of a call."""
        return sorted(self.seconds)[len(self.seconds) // 2] if self.seconds else guess


class World:
    """A store, an endpoint, and two recipes whose models differ."""

    def __init__(self, folder: Path) -> None:
        # A port of its own: what else deploys on this machine meanwhile takes the first free one.
        self.settings = settings_of(folder).model_copy(update={"port": free_ports(1)[0]})
        self.store = open_configured_store(self.settings)
        data = toys.write_jsonl(folder / "rows.jsonl", toys.toy_rows(240))
        model = toys.write_toy_model(folder / "model")
        self.recipes = [toy_recipe(data, model, [*overrides, "promotion.gate=thresholds"]) for overrides in MODELS]
        self.number = 0

    def next_run(self) -> tuple[Recipe, str]:
        """Begin a run of the model whose turn it is, up to the first stage that is to be killed."""
        recipe = self.recipes[self.number % 2]
        self.number += 1
        run = f"run-{self.number}"
        # In a fork as well: threads that torch and pyarrow start here would be missing in every later fork.
        must(partial(self.prepare, recipe, run))
        return recipe, run

    def prepare(self, recipe: Recipe, run: str) -> None:
        """Run, or adopt, what comes before."""
        for call in plan(recipe, run, until=PREPARED):
            run_stage(call, self.store, self.settings, progress=Silent())

    def stage(self, recipe: Recipe, run: str, name: str) -> None:
        """What `kubetune stage NAME` does."""
        call = call_of(name, recipe, run)
        if name == "compare" and read_commit(self.store, run, name) is None:
            self.forget(call.stage.name)
        run_stage(call, self.store, self.settings, progress=Silent())

    def forget(self, stage: str) -> None:
        """Take the stage's results out of the index, so that the body runs and is not adopted."""
        for entry in self.store.list(f"keys/{stage}/"):
            self.store.delete(entry.key)

    def serve(self) -> None:
        """What the commands `promote` and `rollback` end with."""
        serve_champion(self.store, self.settings, MODEL, Silent(), lambda: False)

    def roll_back(self) -> None:
        """What `kubetune rollback` does for Airflow, whose request is the same in each try."""
        model = known(self.store, MODEL)
        if not (model.history[-1]["event"] == "rolled-back" and is_pending(self.store, MODEL)):
            word = ManualOverride("benchmark", "killed on purpose", f"request-{self.number}")
            roll_back(self.store, MODEL, clock(), word)
        self.serve()

    def last_version(self) -> int:
        """The version that was the champion before the last rollback."""
        return int(known(self.store, MODEL).history[-1]["former"])

    def whole(self) -> list[str]:
        """What is wrong with the registry's record at this moment."""
        model = read_model(self.store, MODEL)
        if model is None:
            return ["the record of the model cannot be read"] if self.number > 1 else []
        wrong = []
        numbers = [version.number for version in model.versions]
        if numbers != list(range(1, len(numbers) + 1)):
            wrong.append(f"versions are numbered {numbers}")
        if len(set(model.line)) != len(model.line) or not set(model.line) <= set(numbers):
            wrong.append(f"the line of champions is {model.line}")
        if len({version.archive for version in model.versions}) != len(numbers):
            wrong.append("an archive has two versions")
        return wrong

    def served(self) -> list[str]:
        """What is wrong with what is served, now that the command ended by itself."""
        model, endpoint = known(self.store, MODEL), read_endpoint(self.store, MODEL)
        state = self.settings.state_dir
        seen = LocalTarget(state, MODEL).observe() if state is not None else None
        if model.champion is None or endpoint is None or endpoint.observed is None or seen is None:
            return ["there is no champion, or nothing serves"]
        champion = model.champion.archive
        wrong = list(seen.problems)
        for name, found in (
            ("the endpoint's record", archive_digest_of(endpoint.observed.files)),
            ("its desired state", archive_digest_of(endpoint.desired.files) if endpoint.desired else None),
            ("TorchServe", seen.digest),
        ):
            if found != champion:
                wrong.append(f"{name} has {str(found)[:12]}, the champion is {champion[:12]}")
        return wrong


def attempt(work: Callable[[], None], kill_after: float | None = None) -> Attempt:
    """Run `work` in a fork; SIGKILL its process after that many seconds."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # a fork must never return into the loop
            print(f"  {type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
    limit = LIMIT_S if kill_after is None else kill_after
    signalled = False
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        seconds = time.monotonic() - started
        if found:
            break
        if not signalled and seconds >= limit:
            os.kill(child, signal.SIGKILL)
            signalled = True
        time.sleep(0.001)
    by_signal = "stuck" if kill_after is None else "killed"
    return Attempt(by_signal if os.WIFSIGNALED(status) else "failed" if status else "done", seconds)


def must(work: Callable[[], None]) -> None:
    """Run what is not to be killed."""
    ended = attempt(work)
    if ended.how != "done":
        raise UnrepeatableError(f"a call that nobody killed {ended.how} after {ended.seconds:.0f} s")


def kill_once(world: World, work: Callable[[], None], tally: Tally, kill_after: float) -> None:
    """Kill one call at a moment, look at the record, repeat the call to its end, look at everything."""
    tally.kills += 1
    first = attempt(work, kill_after)
    hit = first.how == "killed"
    tally.hit += hit
    tally.broken += world.whole()
    second = attempt(work)
    tally.broken += world.whole()
    if "failed" in (first.how, second.how) or second.how == "stuck":
        raise UnrepeatableError(f"after {first.how} the same call {second.how} ({second.seconds:.0f} s)")
    tally.resumed += hit
    tally.seconds.append(second.seconds if hit else first.seconds)  # a call after one that was done has less to do


def rounds(world: World, wanted: tuple[int, int], draw: random.Random, tallies: dict[str, Tally]) -> None:
    """Spread the kills over the commands; every round moves the champion. `wanted`: all kills, of them slow ones."""
    started, slow = time.monotonic(), wanted[1]

    def kill(name: str, work: Callable[[], None]) -> None:
        kill_once(world, work, tallies[name], draw.uniform(0, tallies[name].median(GUESSES[name])))

    while sum(tally.kills for tally in tallies.values()) < wanted[0]:
        recipe, run = world.next_run()
        stage = partial(world.stage, recipe, run)
        kill("compare", partial(stage, "compare"))
        must(partial(stage, "package"))
        kill("register", partial(stage, "register"))
        if slow > 0:
            name = "rollback" if slow % 3 == 1 and world.number > 1 else "deploy"
            if name == "rollback":
                must(partial(stage, "deploy"))
            kill(name, world.roll_back if name == "rollback" else partial(stage, "deploy"))
            tallies[name].broken += world.served()
            if name == "rollback":  # what a person rolled back is promoted by a person only
                promote(
                    world.store, MODEL, world.last_version(), clock(), ManualOverride("benchmark", "the next round")
                )
            slow -= 1
        kills, hit, _, broken = totals(tallies.values())
        spent = f"{time.monotonic() - started:.0f} s"
        print(f"round {world.number}: {kills} of {wanted[0]} kills, {hit} hit, {broken} broken, {spent}", flush=True)
    must(world.serve)
    tallies["deploy"].broken += world.served()


def totals(found: Iterable[Tally]) -> tuple[int, int, int, int]:
    """Return kills, hits, resumed ones and broken invariants."""
    counts = [(one.kills, one.hit, one.resumed, len(one.broken)) for one in found]
    kills, hit, resumed, broken = (sum(column) for column in zip(*counts, strict=True))
    return kills, hit, resumed, broken


def show(tallies: dict[str, Tally]) -> None:
    """Print the table."""
    print(f"{'command':10}{'kills':>8}{'hit':>8}{'resumed':>8}{'broken':>8}  median call")
    for name, tally in tallies.items():
        print(f"{name:10}" + "".join(f"{count:8}" for count in totals([tally])) + f"{tally.median(0.0):11.2f} s")
    print(f"{'all':10}" + "".join(f"{count:8}" for count in totals(tallies.values())))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the kills and print what became of them; 0 if every claim held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=120, help="Kills in all.")
    parser.add_argument("--deploy-kills", type=int, default=12, help="Of them, of `deploy` and `rollback`.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="Write the figures here as well.")
    parser.add_argument("--smoke", action="store_true", help="a kill of each command: shows that it runs")
    given = parser.parse_args(arguments)
    if given.smoke:
        lines = [rf"^{name} +\d+ +\d+ +\d+ +0 +\d+\.\d\d s$" for name in GUESSES]
        few = partial(main, ["--kills", "6", "--deploy-kills", "2"])
        return complete(few, [*lines, r"^all +[6-9]( +\d+){2} +0$", r"^versions \d+, changes of the record \d+$"])
    folder = Path(tempfile.mkdtemp(prefix="kubetune-benchmark-"))
    tallies, stopped = {name: Tally() for name in GUESSES}, False
    try:
        world = World(folder)
        rounds(world, (given.kills, given.deploy_kills), random.Random(given.seed), tallies)
        model = known(world.store, MODEL)
        last = f"versions {len(model.versions)}, changes of the record {model.epoch}"
    except UnrepeatableError as error:
        last, stopped = f"stopped: {error}", True
    finally:
        LocalTarget(folder / "state", MODEL).stop()
        shutil.rmtree(folder, ignore_errors=True)
    show(tallies)
    broken = [f"{name}: {what}" for name, tally in tallies.items() for what in tally.broken]
    print(*broken[:20], last, sep="\n")
    if given.json:
        figures = {name: tally.__dict__ for name, tally in tallies.items()}
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(bool(broken or stopped))


if __name__ == "__main__":
    sys.exit(main())
