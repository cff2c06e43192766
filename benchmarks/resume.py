"""Kills training at random moments and breaks its checkpoints: is the resumed run the undisturbed one, bit for bit?

Real stages, a real store in a folder, real signals. An attempt is a fork of a process that has its imports done, so
that hundreds fit into minutes. Prints one line a claim; exits 1 if one does not hold.

    python benchmarks/resume.py --kills 200 --terms 20 | --smoke
    python benchmarks/resume.py --task token-classification question-answering --kills 20 --terms 5 --rank-kills 0
"""

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from resume_tasks import ROWS, TASKS, task_overrides
from smoke import complete

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import toys
from kubetune import layout
from kubetune.config.load import parse_recipe
from kubetune.config.recipe import Recipe
from kubetune.execution.run import open_configured_store, run_stage
from kubetune.execution.signals import stop_requests
from kubetune.plan import call_of, plan
from kubetune.storage.blobs import is_intact
from kubetune.storage.checkpoints import StoredCheckpoint, parse_head
from kubetune.storage.commits import read_commit
from kubetune.storage.records import find
from pipelines import settings_of

DEFAULT = ("text-classification",)
INTERVAL = 4
RANK_EPOCHS = 12
"""So many that the toy has learnt its rows: before, the spread of the seeds says little."""
RECIPE = """
name: resume
data:
  source: {{kind: files, paths: {{all: {data}}}}}
  splits: {{validation: 0.2, test: 0.2}}
model: {{source: {{kind: path, path: {model}}}, max_length: 32}}
training:
  epochs: 6
  batch: 16
  learning_rate: 1.0e-2
  precision: fp32
  checkpoints: {{every_steps: 4}}
"""


class Journal:
    """Progress of an attempt as lines in a file: what a killed process did stays readable."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8", buffering=1)
        self._training = False

    def start(self, what: str, total: int | None = None) -> None:
        """Note whether the training itself begins."""
        self._training = what == "train"

    def advance(self, by: int = 1, **facts: float | str) -> None:
        """Write one line a step; the call without facts says where a resumed attempt begins."""
        if self._training:
            self._file.write(f"step 1 {time.monotonic()}\n" if facts else f"from {by}\n")

    def note(self, line: str) -> None:
        """Keep what is said."""
        self._file.write(f"note {line}\n")


@dataclass
class Attempt:
    """What one process did: the step it began at (None: it died before), steps done, and its exit code."""

    start: int | None
    steps: int
    code: int
    first_step_at: float | None = None


@dataclass
class Trial:
    """One training that was disturbed until it was let through."""

    sha256: str
    attempts: list[Attempt]
    kills: int = 0
    flips: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Materials:
    """What is trained.

    Attributes:
        task: Name of the task.
        data: Its rows.
        model: A tiny encoder.
    """

    task: str
    data: Path
    model: Path


class World:
    """A prepared dataset in a store, copied for each trial."""

    def __init__(self, folder: Path, materials: "Materials", *overrides: str) -> None:
        text = RECIPE.format(data=materials.data, model=materials.model)
        self.folder, self.recipe = folder, parse_recipe(text, [*task_overrides(materials.task), *overrides])
        self.copies = 0
        self.base = folder / "base"
        store = open_configured_store(settings_of(self.base))
        for call in plan(self.recipe, "r", until="prepare"):
            run_stage(call, store, settings_of(self.base), progress=Journal(folder / "prepare.log"))

    def copy(self) -> Path:
        """A copy of the prepared state."""
        self.copies += 1
        target = self.folder / f"copy-{self.copies}"
        shutil.copytree(self.base, target)
        return target


def start(place: Path, recipe: Recipe) -> tuple[int, Path]:
    """Fork an attempt of stage `train`; returns its process id and its journal. It leads its own process group."""
    journal = place / f"attempt-{time.monotonic_ns()}.log"
    journal.touch()
    pid = os.fork()
    # In both processes, as shells do: until the child has come to it, it would look as if it were gone already.
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    if pid:
        return pid, journal
    code = 70
    try:
        settings = settings_of(place)
        with stop_requests() as stop:
            call = call_of("train", recipe, "r")
            run_stage(call, open_configured_store(settings), settings, progress=Journal(journal), should_stop=stop)
        code = 0
    except Exception as error:
        code = getattr(error, "exit_code", 70)
        with journal.open("a", encoding="utf-8") as file:
            file.write(f"error {type(error).__name__} {' '.join(str(error).split())}\n")
    finally:
        os._exit(code)


def finish(pid: int, journal: Path) -> Attempt:
    """Wait for an attempt and read its journal."""
    _, status = os.waitpid(pid, 0)
    lines = journal.read_text(encoding="utf-8").splitlines()
    starts = [int(line.split()[1]) for line in lines if line.startswith("from ")]
    steps = [line for line in lines if line.startswith("step ")]
    first = float(steps[0].split()[2]) if steps else None
    return Attempt(starts[0] if starts else None, len(steps), os.waitstatus_to_exitcode(status), first)


def checkpoints(place: Path) -> tuple[int, list[Path]]:
    """Return the newest step in the store's head that is whole (0: none), and the files that only it has."""
    store = open_configured_store(settings_of(place))
    heads = list(place.glob("store/checkpoints/*/head.json"))
    if not heads:
        return 0, []
    key = heads[0].parent.name
    head = find(store, layout.checkpoint_head(key), parse_head).value or ()

    def names(item: StoredCheckpoint) -> set[str]:
        return {layout.checkpoint_file(key, file.sha256) for file in item.files}

    sound = [item for item in head if all(is_intact(store, name, name.rpartition("/")[2]) for name in names(item))]
    if not sound:
        return 0, []
    others = {name for item in head if item is not sound[0] for name in names(item)}
    return sound[0].step, [place / "store" / name for name in sorted(names(sound[0]) - others)]


def flip(path: Path, draw: random.Random) -> None:
    """Flip one random bit of a file."""
    content = bytearray(path.read_bytes())
    place = draw.randrange(len(content))
    content[place] ^= 1 << draw.randrange(8)
    path.chmod(0o644)
    path.write_bytes(content)


def weights(place: Path) -> str:
    """Return the SHA-256 of the committed weights."""
    found = read_commit(open_configured_store(settings_of(place)), "r", "train")
    assert found is not None, "nothing was committed"
    return next(file.sha256 for file in found.outputs["model"] if file.path == "model.safetensors")


def steps_of(place: Path) -> list[dict[str, float]]:
    """Return the telemetry of each step of an undisturbed run."""
    (path,) = place.glob("store/runs/r/train/telemetry/history-*.jsonl")
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line["event"] == "step"]


def undisturbed(world: World) -> tuple[Path, Attempt, float]:
    """Run once without disturbance."""
    place = world.copy()
    began = time.monotonic()
    attempt = finish(*start(place, world.recipe))
    assert attempt.code == 0, (attempt, *place.glob("attempt-*.log"))
    return place, attempt, time.monotonic() - began


@dataclass(frozen=True)
class Harm:
    """How a training is disturbed.

    Attributes:
        signal: What its process group is sent.
        seconds: The moment is drawn from this many seconds after the start.
        flips: Probability of a bit flip in the newest checkpoint afterwards.
        late: Count the seconds from the first checkpoint on: ranks take most of their time to start.
    """

    signal: int
    seconds: float
    flips: float = 0.0
    late: bool = False


def disturb(world: World, draw: random.Random, harm: Harm, kills: int) -> Trial:
    """Send a signal `kills` times at random moments, perhaps flip a bit after each, then let the training through."""
    place, attempts, trial, number = world.copy(), [], Trial("", []), harm.signal
    wanted_start = minimum = 0
    for turn in range(100):
        pid, journal = start(place, world.recipe)
        if turn < kills:
            while harm.late and alive(pid) and checkpoints(place)[0] <= minimum:
                time.sleep(0.02)
            time.sleep(draw.uniform(0.0, harm.seconds))
            os.killpg(pid, number) if alive(pid) else None
        attempt = finish(pid, journal)
        attempts.append(attempt)
        check_start(trial, attempt, minimum, wanted_start)
        expected = {0, -number} if number == signal.SIGKILL else {0, 75, -number}
        if attempt.code not in expected:
            trial.problems.append(f"attempt ended with {attempt.code}: {journal.read_text(encoding='utf-8')[-300:]}")
            break
        if attempt.code == 0:
            break
        trial.kills += 1
        minimum, files = checkpoints(place)
        wanted_start = 0
        if number == signal.SIGTERM and attempt.code == 75 and attempt.start is not None:
            wanted_start = attempt.start + attempt.steps
            if minimum != wanted_start:
                trial.problems.append(f"after SIGTERM the checkpoint is of step {minimum}, done were {wanted_start}")
        if files and draw.random() < harm.flips:
            flip(draw.choice(files), draw)
            trial.flips += 1
            minimum, _ = checkpoints(place)
    trial.attempts = attempts
    trial.sha256 = weights(place) if attempts[-1].code == 0 else ""
    shutil.rmtree(place)
    return trial


def check_start(trial: Trial, attempt: Attempt, minimum: int, wanted: int) -> None:
    """A resumed attempt begins at the newest sound checkpoint, and after SIGTERM exactly where the former ended."""
    if attempt.start is None:
        return
    if attempt.start < minimum:
        trial.problems.append(f"a checkpoint of step {minimum} was there, the attempt began at {attempt.start}")
    if wanted and attempt.start != wanted and not trial.flips:
        trial.problems.append(f"began at {attempt.start} instead of {wanted}")


def alive(pid: int) -> bool:
    """Whether a child has not ended yet and leads its group."""
    try:
        return os.getpgid(pid) == pid and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except (ProcessLookupError, ChildProcessError):
        return False


def campaign(world: World, draw: random.Random, harm: Harm, wanted: int, reference: tuple[str, int]) -> bool:
    """Disturb trainings until `wanted` signals hit; print what came of it."""
    sha256, steps = reference
    number, trials = harm.signal, list[Trial]()
    while sum(trial.kills for trial in trials) < wanted:
        trials.append(disturb(world, draw, harm, draw.randint(1, 4)))
    attempts = [attempt for trial in trials for attempt in trial.attempts]
    executed = sum(attempt.steps for attempt in attempts)
    hits, flipped = sum(trial.kills for trial in trials), sum(trial.flips for trial in trials)
    wasted = executed - steps * len(trials)
    bound = INTERVAL * (hits + flipped) if number == signal.SIGKILL else INTERVAL * flipped
    equal = sum(trial.sha256 == sha256 for trial in trials)
    problems = [problem for trial in trials for problem in trial.problems]
    resumed = sum(1 for attempt in attempts if attempt.start)
    print(
        f"{signal.Signals(number).name}: {hits} signals and {flipped} bit flips over {len(trials)} trainings: "
        f"{len(problems)} failed resumes, {equal}/{len(trials)} final weights equal the undisturbed SHA-256; "
        f"{resumed} attempts began above step 0; executed - useful = {wasted} steps (bound {bound})"
    )
    if number == signal.SIGTERM:
        codes = [attempt.code for trial in trials for attempt in trial.attempts[:-1]]
        print(f"  exit codes of the interrupted: { ({code: codes.count(code) for code in sorted(set(codes))}) }")
    for problem in problems[:5]:
        print("  problem:", problem)
    late_enough = resumed > 0 or not harm.late
    return not problems and equal == len(trials) and wasted <= bound and late_enough


def ranks(
    folder: Path,
    materials: Materials,
    draw: random.Random,
    kills: int,
    epochs: int = RANK_EPOCHS,
) -> bool:
    """Two gloo ranks: equal to themselves, also after kills; beside one rank the same order, gradient and metric."""
    plain = [
        "model.encoder_dropout=0.0",
        "model.head.dropout=0.0",
        "training.batch=16",
        f"training.epochs={epochs}",
    ]
    one, two = (
        World(made(folder / "one"), materials, *plain),
        World(made(folder / "two"), materials, *plain, "resources.train.processes=2"),
    )
    place_one, _, _ = undisturbed(one)
    (first, attempt, _), (second, _, _) = undisturbed(two), undisturbed(two)
    same = weights(first) == weights(second)
    print(f"two ranks, two undisturbed runs: weights {'equal' if same else 'DIFFER'}")
    good = campaign(two, draw, Harm(signal.SIGKILL, 0.3, late=True), kills, (weights(first), attempt.steps))
    left, right = steps_of(place_one), steps_of(first)
    order = [step["batch"] for step in left] == [step["batch"] for step in right]
    norm = abs(left[0]["norm"] - right[0]["norm"]) / left[0]["norm"]
    metrics = [metric(place_one)]
    for seed in range(1, 5):
        other = World(made(folder / f"seed-{seed}"), materials, *plain, f"training.seed={seed}")
        metrics.append(metric(undisturbed(other)[0]))
    middle, spread = statistics.mean(metrics), statistics.stdev(metrics)
    low, high = middle - 3 * spread, middle + 3 * spread
    inside = low <= metric(first) <= high
    per_epoch = len(right) // epochs
    first_epoch, last_epoch = (
        statistics.mean(step["loss"] for step in part) for part in (right[:per_epoch], right[-per_epoch:])
    )
    print(
        f"two ranks beside one: the rows of all {len(left)} steps in order {'equal' if order else 'DIFFER'}; step-1 "
        f"gradient norm differs by {norm:.1e} (bound 1e-6); the mean loss of an epoch fell from {first_epoch:.2f} to "
        f"{last_epoch:.2f}; validation loss {metric(first):.5f} is "
        f"{'inside' if inside else 'OUTSIDE'} mean ± 3 sd of 5 seeds on one rank [{low:.5f}, {high:.5f}]"
    )
    return same and good and order and norm <= 1e-6 and (inside or epochs < RANK_EPOCHS)


def metric(place: Path) -> float:
    """Return the validation loss of a committed training."""
    found = read_commit(open_configured_store(settings_of(place)), "r", "train")
    assert found is not None
    return float(found.metrics["validation_loss"])


def made(folder: Path) -> Path:
    """Create a folder and return it."""
    folder.mkdir(parents=True)
    return folder


def warm(tasks: Sequence[str]) -> None:
    """Import what an attempt needs, so that a fork starts at once."""
    import torch

    import kubetune.stages.train
    import kubetune.training.loop  # noqa: F401
    from kubetune.tasks import load_task

    for task in tasks:
        load_task(task)
    torch.set_num_threads(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaigns; 0 if every claim held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--task", choices=TASKS, nargs="+", default=DEFAULT)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--terms", type=int, default=20)
    parser.add_argument("--rank-kills", type=int, default=5, help="0: ranks are left out")
    parser.add_argument("--flips", type=float, default=0.25, help="probability of a bit flip after a kill")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--rank-epochs", type=int, default=RANK_EPOCHS, help="with fewer, the metric is not judged")
    parser.add_argument("--smoke", action="store_true", help="a kill of each kind: shows that it runs")
    options = parser.parse_args(arguments)
    if options.smoke:
        return smoke(options.task)
    print(f"seed {options.seed}")
    warm(options.task)
    held: list[bool] = []
    for task in options.task:
        with tempfile.TemporaryDirectory(prefix="kubetune-resume-", ignore_cleanup_errors=True) as name:
            held += claims(Path(name), task, options)
    print(f"{sum(held)} passed, {len(held) - sum(held)} failed")
    return 0 if all(held) else 1


def claims(folder: Path, task: str, options: argparse.Namespace) -> list[bool]:
    """Run the campaigns of one task; return which claims held."""
    draw = random.Random(options.seed)
    # Made once: training a tokenizer anew may number its words in another order.
    rows = toys.write_jsonl(folder / "rows.jsonl", TASKS[task].rows(ROWS))
    materials = Materials(task, rows, toys.write_toy_model(folder / "model"))
    world = World(made(folder / "single"), materials)
    (place, attempt, seconds), (other, _, _) = undisturbed(world), undisturbed(world)
    print(f"{task}\nundisturbed: {attempt.steps} steps in {seconds:.1f} s, a checkpoint every {INTERVAL} steps")
    same = weights(place) == weights(other)
    print(f"two undisturbed runs: weights {'equal' if same else 'DIFFER'}")
    reference = (weights(place), attempt.steps)
    held = [
        same,
        campaign(world, draw, Harm(signal.SIGKILL, seconds, options.flips), options.kills, reference),
        campaign(world, draw, Harm(signal.SIGTERM, seconds), options.terms, reference),
    ]
    if options.rank_kills:
        held.append(ranks(folder / "ranks", materials, draw, options.rank_kills, options.rank_epochs))
    return held


def smoke(tasks: Sequence[str]) -> int:
    """Kill a training of each task once or twice; ranks, which take longest, of the task that is the default alone."""
    few = ["--terms", "1", "--rank-epochs", "2"]
    if tuple(tasks) == DEFAULT:
        few += ["--kills", "2", "--rank-kills", "1"]
        lines = ["^4 passed", "^two ranks", r"^SIGKILL: .* [1-9]\d* attempts began above step 0"]
    else:
        few += ["--kills", "1", "--rank-kills", "0"]
        lines = [f"^{3 * len(tasks)} passed", *(f"^{task}$" for task in tasks), r"^SIGKILL: "]
    lines += [r"^undisturbed: \d+ steps", r"^SIGTERM: \d+ signals", r"exit codes of the interrupted: "]
    return complete(lambda: main(["--task", *tasks, *few]), lines)


if __name__ == "__main__":
    raise SystemExit(main())
