"""Kills what moves a champion at random moments: is there always one, is no alias half moved, is it what serves?

`compare`, `register`, `deploy` and `rollback` are real, on a toy model, with a store in a folder, with real SIGKILLs
and a real TorchServe. Two models take turns, so that every promotion moves the champion. An attempt is a fork of a
process that has its imports done. After each kill the record must be whole; after the same command has been repeated
to its end, registry, endpoint record and what TorchServe answers must name one archive. Prints a line a command; exits
1 if a claim does not hold.

    python benchmarks/promotion_kills.py --kills 120 --deploy-kills 12
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
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import toys
from kubetune.clock import clock
from kubetune.config.recipe import Recipe
from kubetune.effects import is_pending, serve_champion
from kubetune.plan import Word, call_of, plan
from kubetune.registration import known, promote, roll_back
from kubetune.runner import open_configured_store, run_stage
from kubetune.serving.archive import archive_digest  # noqa: F401 (imported before forking, as all that deploy needs)
from kubetune.serving.local_target import LocalTarget
from kubetune.stages import compare, deploy, package, register  # noqa: F401 (the same)
from kubetune.storage.commits import read_commit
from kubetune.storage.endpoints import read_endpoint
from kubetune.storage.registry import read_model
from kubetune.storage.versions import archive_digest_of
from pipelines import Silent, settings_of, toy_recipe

MODEL = "toy"
MODELS = (("training.seed=0",), ("training.seed=1",))
PREPARED = "behave"


@dataclass
class Tally:
    """What became of the kills of one command."""

    kills: int = 0
    landed: int = 0
    broken: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class World:
    """A store, an endpoint, and two recipes whose models differ."""

    def __init__(self, folder: Path) -> None:
        self.settings = settings_of(folder)
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
        attempt(partial(self.prepare, recipe, run), None)
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
        """What `kubetune rollback` does."""
        model = known(self.store, MODEL)
        if not (model.history[-1]["event"] == "rolled-back" and is_pending(self.store, MODEL)):
            roll_back(self.store, MODEL, clock(), Word("benchmark", "killed on purpose"))
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
            ("its wish", archive_digest_of(endpoint.desired.files) if endpoint.desired else None),
            ("TorchServe", seen.digest),
        ):
            if found != champion:
                wrong.append(f"{name} has {str(found)[:12]}, the champion is {champion[:12]}")
        return wrong


def attempt(work: Callable[[], None], kill_after: float | None) -> tuple[bool, float]:
    """Run `work` in a fork; SIGKILL its process after that many seconds.

    Returns:
        Whether it was killed, and the seconds it took.
    """
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:  # a fork must never return into the loop
            print(f"  {type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
    deadline = None if kill_after is None else started + kill_after
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            deadline = None
        time.sleep(0.001)
    seconds = time.monotonic() - started
    if os.WIFSIGNALED(status):
        return True, seconds
    if os.WEXITSTATUS(status) != 0:
        raise SystemExit("an attempt that nobody killed failed: see above")
    return False, seconds


def kill_once(world: World, work: Callable[[], None], tally: Tally, draw: random.Random, typical: float) -> None:
    """Kill one call at a random moment, look at the record, repeat the call to its end, look at everything."""
    tally.kills += 1
    killed, _ = attempt(work, draw.uniform(0, typical))
    tally.landed += killed
    tally.broken += world.whole()
    _, seconds = attempt(work, None)
    tally.seconds.append(seconds)
    tally.broken += world.whole()


def rounds(world: World, kills: int, deploy_kills: int, draw: random.Random) -> dict[str, Tally]:
    """Spread the kills over the commands; every round moves the champion."""
    tallies = {name: Tally() for name in ("compare", "register", "deploy", "rollback")}
    typical = {"compare": 0.6, "register": 0.15, "deploy": 6.0, "rollback": 6.0}
    slow = deploy_kills
    while sum(tally.kills for tally in tallies.values()) < kills:
        recipe, run = world.next_run()
        stage = partial(world.stage, recipe, run)
        kill_once(world, partial(stage, "compare"), tallies["compare"], draw, typical["compare"])
        attempt(partial(stage, "package"), None)
        kill_once(world, partial(stage, "register"), tallies["register"], draw, typical["register"])
        if slow > 0:
            name = "rollback" if slow % 3 == 1 and world.number > 1 else "deploy"
            if name == "rollback":
                attempt(partial(stage, "deploy"), None)
            work = world.roll_back if name == "rollback" else partial(stage, "deploy")
            kill_once(world, work, tallies[name], draw, typical[name])
            tallies[name].broken += world.served()
            if name == "rollback":  # what a person rolled back is promoted by a person only
                promote(world.store, MODEL, world.last_version(), clock(), Word("benchmark", "the next round"))
            slow -= 1
        typical |= {name: sorted(one.seconds)[len(one.seconds) // 2] for name, one in tallies.items() if one.seconds}
    attempt(world.serve, None)
    tallies["deploy"].broken += world.served()
    return tallies


def main() -> None:
    """Run the kills and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=120, help="Kills in all.")
    parser.add_argument("--deploy-kills", type=int, default=12, help="Of them, of `deploy` and `rollback`.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="Write the figures here as well.")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kubetune-benchmark-"))
    world = World(folder)
    try:
        tallies = rounds(world, given.kills, given.deploy_kills, random.Random(given.seed))
        model = known(world.store, MODEL)
    finally:
        LocalTarget(folder / "state", MODEL).stop()
        shutil.rmtree(folder, ignore_errors=True)
    for name, tally in tallies.items():
        middle = sorted(tally.seconds)[len(tally.seconds) // 2] if tally.seconds else 0.0
        print(f"{name:9} kills {tally.kills:4}, of them in the middle {tally.landed:4}, median call {middle:5.2f} s")
    broken = [f"{name}: {what}" for name, tally in tallies.items() for what in tally.broken]
    kills, landed = (sum(getattr(tally, key) for tally in tallies.values()) for key in ("kills", "landed"))
    print(f"versions {len(model.versions)}, changes of the record {model.epoch}")
    print(f"{kills} kills, {landed} before the end; broken invariants: {len(broken)}", *broken[:20], sep="\n")
    if given.json:
        figures = {name: tally.__dict__ for name, tally in tallies.items()}
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
