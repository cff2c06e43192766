"""How often does a comparison promote a model that is no better, and how often does it find what was planted?

    python benchmarks/promotion.py [--comparisons 1000] [--sequences 240] [--planted 200] [--repeated 1000] [--smoke]

Models are simulated: a text has a chance of being answered rightly, easy or hard for every model alike; equal models
are independent draws from the same chances, as two seeds of one recipe are. In a sequence, all candidates meet the same
test rows and the same champion. Four rules judge the same answers: kubetune's `decide` with its default rules, the same
without spending (each comparison is read at the whole alpha), "higher F1 wins", and a tuple of scores in order.

Texts are then repeated, as in a test split that was not rid of copies: all of them equally often, or some much oftener
than others. A model answers copies alike. Beside `decide` stands the same without the texts, which counts every row.
There the metric alone decides, without guards, so that its level is seen; few texts and rare classes are among them,
and sentences with entities, whose entities are right together oftener than by chance.

Stated power is that of the one test that a plant is for; the guards, calibration first, take some of it at the small
levels late in a sequence. Prints shares with 95 % intervals (Wilson); exits 1 where a bound does not hold. With
--smoke a few of each, which shows that it runs.
"""

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from smoke import complete

from kubetune.comparison.decision import Comparison, decide
from kubetune.comparison.paired import NORMAL
from kubetune.comparison.spending import Spending
from kubetune.config.promotion import PromotionSection
from kubetune.contract import Verdict
from kubetune.metrics.base import Outcomes
from kubetune.metrics.classes import ClassStatistics, Scores
from kubetune.metrics.entities import Entity, EntityStatistics

CLASSES = 3
LENGTH = 20
PARTS = 4
RULES = ("kubetune", "no spending", "higher F1", "tuple")
EASY, HARD = 0.98, 0.45
SHARE_OF_EASY = 0.8
EVEN, RARE = (1 / 3, 1 / 3, 1 / 3), (0.9, 0.07, 0.03)
STATISTICS = ClassStatistics(("a", "b", "c"))
ENTITIES = EntityStatistics(("person", "place", "product"))

Times = Callable[[np.random.Generator, int], np.ndarray]
"""How often each text occurs."""
REPEATS: Mapping[str, Times] = {
    "once": lambda draw, texts: np.ones(texts, dtype=np.int64),
    "five times": lambda draw, texts: np.full(texts, 5),
    "geometric, mean 3": lambda draw, texts: draw.geometric(1 / 3, size=texts),
    "Zipf, at most 100": lambda draw, texts: np.minimum(draw.zipf(2.0, size=texts), 100),
}


class World:
    """Test texts with four slices of about equal size, and models that answer them."""

    def __init__(self, rows: int, seed: int, shares: tuple[float, ...] = EVEN) -> None:
        self.draw = np.random.default_rng(seed)
        even = shares == EVEN
        self.labels = self.draw.integers(CLASSES, size=rows) if even else self.draw.choice(CLASSES, rows, p=shares)
        self.part = self.draw.integers(PARTS, size=rows)
        self.chance = np.where(self.draw.random(rows) < SHARE_OF_EASY, EASY, HARD)
        self.groups = {"part": [(str(number), self.part == number) for number in range(PARTS)]}

    def model(self, gains: tuple[float, ...] = (0.0,) * PARTS) -> Outcomes:
        """Return the answers of a fresh model whose true accuracy differs by `gains` in the slices, or the classes."""
        gain = np.asarray(gains)[self.part if len(gains) == PARTS else self.labels]
        mean = SHARE_OF_EASY * EASY + (1 - SHARE_OF_EASY) * HARD
        mended, spoilt = np.maximum(gain, 0) / (1 - mean), np.maximum(-gain, 0) / mean
        chance = (self.chance + (1 - self.chance) * mended) * (1 - spoilt)
        rows = len(chance)
        right = self.draw.random(rows) < chance
        wrong = (self.labels + self.draw.integers(1, CLASSES, size=rows)) % CLASSES
        predictions = np.where(right, self.labels, wrong)
        confidence = np.clip(chance + self.draw.normal(0, 0.02, rows), 0.34, 0.999)
        losses = -np.log(np.where(right, confidence, (1 - confidence) / 2))
        return STATISTICS.outcomes(self.labels, Scores(predictions, confidence, losses))

    def compare(self, candidate: Outcomes, champion: Outcomes) -> Comparison:
        """Pair two models' answers."""
        return Comparison(candidate, champion, STATISTICS, self.groups)


class Sentences:
    """Sentences with up to about ten entities of three types, the third one rare, and models that find them.

    What is hard in a sentence is hard for every model and for all its entities; besides, a model has a good or a bad
    day with a sentence as a whole, so that its entities are right or wrong together.
    """

    def __init__(self, texts: int, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        counts = np.minimum(self.draw.geometric(0.4, size=texts) - 1, 10)
        self.labelled: list[list[Entity]] = [
            [(10 * place, 10 * place + 4, ENTITIES.labels[kind]) for place, kind in enumerate(self._types(count))]
            for count in counts
        ]
        self.chance = np.where(self.draw.random(texts) < SHARE_OF_EASY, 0.9, 0.4)

    def _types(self, count: int) -> list[int]:
        return self.draw.choice(3, size=count, p=(0.6, 0.35, 0.05)).tolist()

    def model(self, gains: tuple[float, ...] = (0.0,)) -> Outcomes:
        """Return what a fresh model finds, of which each entity is right with a chance that is higher by the gain."""
        day = self.draw.normal(0, 0.3, size=len(self.chance))
        answered = [self._found(number, day[number] + gains[0]) for number in range(len(self.chance))]
        return ENTITIES.outcomes(self.labelled, answered)

    def _found(self, number: int, luck: float) -> list[Entity]:
        chance = float(np.clip(self.chance[number] + luck, 0.02, 0.98))
        found: list[Entity] = []
        for start, end, kind in self.labelled[number]:
            fate = self.draw.random()
            if fate < chance:
                found.append((start, end, kind))
            elif fate < chance + (1 - chance) / 2:  # the other half is not found at all
                found.append((start, end - 1, kind))
        if self.draw.random() > 0.5 + chance / 2:
            found.append((1000, 1004, ENTITIES.labels[0]))
        return found

    def compare(self, candidate: Outcomes, champion: Outcomes) -> Comparison:
        """Pair two models' answers."""
        return Comparison(candidate, champion, ENTITIES)


def repeated(comparison: Comparison, draw: np.random.Generator, times: Times) -> Comparison:
    """Let each text occur as often as `times` says."""
    text = np.repeat(np.arange(len(comparison)), times(draw, len(comparison)))
    groups = {name: [(part, inside[text]) for part, inside in parts] for name, parts in comparison.groups.items()}
    answers = comparison.candidate.take(text), comparison.champion.take(text)
    return Comparison(*answers, comparison.statistics, groups, texts=text)


def judged(comparison: Comparison, rules: PromotionSection, earlier: int) -> dict[str, str]:
    """Return rule → outcome."""
    values = [_scores(outcomes) for outcomes in (comparison.candidate, comparison.champion)]
    won = {"higher F1": values[0][0] > values[1][0], "tuple": values[0] > values[1]}
    decision = decide(Verdict(), comparison, rules, earlier)
    return {"kubetune": decision.outcome, "no spending": _unspent(decision.document, rules.alpha)} | {
        name: "promote" if first else "keep" for name, first in won.items()
    }


def _unspent(document: Mapping[str, Any], alpha: float) -> str:
    """Read the same p-values as if every comparison had the whole alpha."""
    metric, guards = document["metric"], document["guards"]
    open_ones = [guard for guard in guards if guard["state"] != "small" and guard["within"] > alpha]
    if metric["ruled_out"] or any(guard["worse"] <= alpha for guard in open_ones):
        return "keep"
    return "undecided" if open_ones or metric["p"] > alpha else "promote"


def _scores(outcomes: Outcomes) -> tuple[float, float, float]:
    """(macro-F1, accuracy, -calibration error) to three decimals, as such comparisons are written."""
    found = STATISTICS.measure(outcomes.total())
    return round(float(found["macro_f1"]), 3), round(float(found["accuracy"]), 3), round(-float(found["ece"]), 3)


@dataclass
class Tally:
    """Outcomes a rule."""

    trials: int = 0
    found: dict[str, Counter[str]] = field(default_factory=lambda: {rule: Counter() for rule in RULES})

    def add(self, outcomes: dict[str, str]) -> None:
        """Count one trial."""
        self.trials += 1
        for rule, outcome in outcomes.items():
            self.found[rule][outcome] += 1

    def line(self, outcome: str) -> str:
        """Show one outcome's share under every rule."""
        return "".join(f"{self.shown(rule, outcome):>24}" for rule in RULES)

    def shown(self, rule: str, outcome: str) -> str:
        """Show a share with its interval."""
        low, high = wilson(self.found[rule][outcome], self.trials)
        return f"{self.found[rule][outcome] / self.trials:.2%} ({low:.1%}-{high:.1%})"


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share."""
    z = NORMAL.inv_cdf(0.975)
    middle, share = hits / trials + z * z / (2 * trials), hits / trials
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return max(0.0, (middle - half) / (1 + z * z / trials)), min(1.0, (middle + half) / (1 + z * z / trials))


def others(count: int, rows: int, rules: PromotionSection) -> Tally:
    """Judge models of equal macro-F1 by symmetry that err on different classes, so that their rows are not alike."""
    tally = Tally()
    for seed in range(2 * 10**6, 2 * 10**6 + count):
        world = World(rows, seed)
        tally.add(judged(world.compare(world.model((0.0, -0.1, 0.0)), world.model((-0.1, 0.0, 0.0))), rules, 0))
    return tally


def singles(count: int, rows: int, gains: tuple[float, ...], rules: PromotionSection, earlier: int = 0) -> Tally:
    """Judge `count` comparisons, each on rows of its own, as if `earlier` others had been made on them."""
    tally = Tally()
    for seed in range(count):
        world = World(rows, seed)
        tally.add(judged(world.compare(world.model(gains), world.model()), rules, earlier))
    return tally


def sequences(count: int, rows: int, gains: tuple[float, ...], rules: PromotionSection) -> Tally:
    """Judge `count` sequences of 20 candidates; "promote" is said of a sequence with one promotion or more."""
    tally = Tally()
    for seed in range(10**6, 10**6 + count):
        world = World(rows, seed)
        champion, ever = world.model(), dict.fromkeys(RULES, "no")
        for earlier in range(LENGTH):
            outcomes = judged(world.compare(world.model(gains), champion), rules, earlier)
            ever |= {rule: outcome for rule, outcome in outcomes.items() if outcome == "promote"}
        tally.add(ever)
    return tally


def by_text(
    worlds: tuple[int, Callable[[int], World | Sentences]], times: Times, gain: float, rules: PromotionSection
) -> tuple[int, int, int]:
    """Judge repeated texts, once by text and once by row.

    Args:
        worlds: How many, and what makes one of a seed.
        times: How often a text occurs.
        gain: By which the candidate is truly more accurate.
        rules: Of the decision.

    Returns:
        Promotions by text, promotions by row, and comparisons in which the two agree on everything.
    """
    count, make = worlds
    promoted, naive, equal = 0, 0, 0
    for seed in range(4 * 10**6, 4 * 10**6 + count):
        world = make(seed)
        comparison = repeated(world.compare(world.model((gain,) * PARTS), world.model()), world.draw, times)
        one, other = (decide(Verdict(), each, rules) for each in (comparison, replace(comparison, texts=None)))
        promoted, naive = promoted + (one.outcome == "promote"), naive + (other.outcome == "promote")
        equal += (one.outcome, one.reasons) == (other.outcome, other.reasons)
    return promoted, naive, equal


def stated_power(rows: int, change: float, level: float) -> float:
    """Return the normal approximation of the chance that McNemar's test shows a change spread evenly over `rows`."""
    mean = SHARE_OF_EASY * EASY + (1 - SHARE_OF_EASY) * HARD
    disputed = 0.0
    for share, old in ((SHARE_OF_EASY, EASY), (1 - SHARE_OF_EASY, HARD)):
        new = old + (1 - old) * change / (1 - mean) if change > 0 else old * (1 + change / mean)
        disputed += share * (old * (1 - new) + new * (1 - old))
    seen = disputed - change**2
    return NORMAL.cdf(
        (abs(change) * math.sqrt(rows) - NORMAL.inv_cdf(1 - level) * math.sqrt(disputed)) / math.sqrt(seen)
    )


def bounds(options: argparse.Namespace, rules: PromotionSection, exact: PromotionSection) -> Iterator[bool]:
    """Print how often what is no better was promoted; yield whether each share is at most alpha."""
    print(f"{'wrongly promoted':<52}" + "".join(f"{rule:>24}" for rule in RULES))
    rows, equal, loss = options.rows, (0.0,) * PARTS, (0.06, 0.06, 0.06, -rules.slice_margin)
    count, few = options.comparisons // 2, options.sequences // 3
    for what, make in (
        (f"equal, {options.comparisons:,} single", lambda: singles(options.comparisons, rows, equal, rules)),
        (f"equal, {options.sequences:,} sequences of 20", lambda: sequences(options.sequences, rows, equal, rules)),
        (f"equal, accuracy, {options.comparisons:,} single", lambda: singles(options.comparisons, rows, equal, exact)),
        (f"equal, erring on other classes, {count:,} single", lambda: others(count, rows, rules)),
        (f"better, one slice loses the margin, {few:,} single", lambda: singles(few, rows, loss, exact)),
        (f"better, one slice loses the margin, {few:,} of 20", lambda: sequences(few, rows, loss, exact)),
    ):
        tally = make()
        print(f"{what:<52}{tally.line('promote')}", flush=True)
        yield tally.found["kubetune"]["promote"] / tally.trials <= rules.alpha or options.smoke


def repeats(options: argparse.Namespace, rules: PromotionSection) -> Iterator[bool]:
    """Print what repeated texts do to the metric's test alone; yield whether equal models keep below alpha."""
    alone = rules.model_copy(update={"slices": [], "calibration_margin": None})
    level, few = Spending(rules.alpha).level, options.texts // 4
    print(f"{f'repeated texts; equal models promoted, {level:g} spent':<64}{'kubetune':>24}{'each row counts':>24}")
    classes = partial(World, options.texts)
    for metric, make in (("accuracy", classes), ("macro_f1", classes), ("f1", partial(Sentences, options.texts))):
        section = alone.model_copy(update={"metric": metric})
        for name, times in REPEATS.items():
            what = f"{metric}, {options.texts:,} texts {name}"
            yield _repeated(what, (options.repeated, make), times, section) or options.smoke
        scarce, of = (
            (partial(World, few, shares=RARE), "rare classes")
            if make is classes
            else (partial(Sentences, few), "few sentences")
        )
        what = f"{metric}, {few:,} texts five times, {of}"
        yield _repeated(what, (options.repeated // 2, scarce), REPEATS["five times"], section) or options.smoke
    print(f"{f'gains of 0.03 promoted, of {options.planted:,}':<64}{'kubetune':>24}{'each row counts':>24}")
    for metric, make in (("accuracy", classes), ("macro_f1", classes), ("f1", partial(Sentences, options.texts))):
        section = alone.model_copy(update={"metric": metric})
        for name, times in REPEATS.items():
            made = by_text((options.planted, make), times, 0.03, section)
            _shown(f"{metric}, {options.texts:,} texts {name}", made, options.planted)
            if name == "once" and made[2] < options.planted:
                print(f"by text and by row disagree in {options.planted - made[2]:,} of them")
                yield False


def _repeated(
    what: str, worlds: tuple[int, Callable[[int], World | Sentences]], times: Times, section: PromotionSection
) -> bool:
    made = by_text(worlds, times, 0.0, section)
    _shown(what, made, worlds[0])
    # The level is a bound on the chance: a share may exceed it by luck, its interval may not lie above it.
    low, _ = wilson(made[0], worlds[0])
    return made[0] / worlds[0] <= section.alpha and low <= Spending(section.alpha).level


def _shown(what: str, made: tuple[int, int, int], count: int) -> None:
    cells = [f"{hits / count:.1%} ({low:.1%}-{high:.1%})" for hits in made[:2] for low, high in [wilson(hits, count)]]
    print(f"{what:<64}{cells[0]:>24}{cells[1]:>24}", flush=True)


def found(options: argparse.Namespace, rules: PromotionSection, exact: PromotionSection) -> None:
    """Print how often planted gains were promoted and planted losses of one slice kept out, beside stated power."""
    rows, count = options.rows, options.planted
    print(f"{f'gains promoted, of {count:,}':<52}" + "".join(f"{rule:>24}" for rule in RULES))
    for section, gain, earlier in (
        (exact, 0.01, 0), (exact, 0.02, 0), (exact, 0.03, 0), (exact, 0.02, 19), (exact, 0.03, 19), (exact, 0.05, 19),
        (rules, 0.01, 0), (rules, 0.02, 0),
    ):  # fmt: skip
        power = stated_power(rows, gain, Spending(rules.alpha, earlier).level)
        what = f"{section.metric or STATISTICS.main} +{gain:g}, comparison {earlier + 1}, stated {power:.0%}"
        print(f"{what:<52}{singles(count, rows, (gain,) * PARTS, section, earlier).line('promote')}", flush=True)
    print(f"better by 0.06 elsewhere, one slice of {rows // PARTS:,} rows loses; kept out, of {count:,}")
    for loss in (0.05, 0.08, 0.1, 0.15):
        power = stated_power(rows // PARTS, -loss, rules.alpha / (PARTS + 1))
        tally = singles(count, rows, (0.06, 0.06, 0.06, -loss), exact)
        print(f"{f'loss of {loss:g}, stated {power:.0%}':<52}{tally.line('keep')}")
        print(f"{'  promoted':<52}{tally.line('promote')}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=1000)
    parser.add_argument("--sequences", type=int, default=240)
    parser.add_argument("--planted", type=int, default=200)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--repeated", type=int, default=1000, help="comparisons a way of repeating texts")
    parser.add_argument("--texts", type=int, default=1000, help="distinct ones where texts are repeated")
    parser.add_argument("--smoke", action="store_true", help="a few of each; shares are not held to their bounds")
    options = parser.parse_args(arguments)
    if options.smoke:
        few = {"comparisons": 4, "sequences": 3, "planted": 3, "rows": 800, "repeated": 6, "texts": 240}
        options = argparse.Namespace(**vars(options) | few)
        share = r" +\d+\.\d+% \([\d.]+%-[\d.]+%\)"
        judged = [
            "equal, 4 single",
            "equal, 3 sequences",
            "equal, accuracy",
            "equal, erring",
            "better, one slice loses",
        ]
        judged += [f"{name} .*, comparison {number}," for name, number in (("accuracy", 20), ("macro_f1", 1))]
        judged += ["loss of 0.15", "  promoted"]
        rows = [rf"^{what}.*?({share}){{{len(RULES)}}}$" for what in judged]
        repeated = (
            "240 texts once",
            "240 texts five times",
            "240 texts geometric",
            "240 texts Zipf",
            "60 texts five times",
        )
        rows += [rf"^{name}, {what}.*?({share}){{2}}$" for name in ("accuracy", "macro_f1", "f1") for what in repeated]
        return complete(lambda: measure(options), [*rows, r"^CPU seconds: \d+$", "^every bound holds$"])
    return measure(options)


def measure(options: argparse.Namespace) -> int:
    """Print every table; 0 if each bound holds."""
    rules = PromotionSection.model_validate({"resamples": options.resamples, "slices": [{"column": "part"}]})
    exact = rules.model_copy(update={"metric": "accuracy"})
    print(
        f"{options.rows:,} rows in {PARTS} slices; default rules: alpha {rules.alpha:g}, margin {rules.margin:g}, "
        f"slice margin {rules.slice_margin:g}, {STATISTICS.main} where nothing else is said; {options.resamples:,} "
        "resamples"
    )
    began = time.process_time()
    held = list(bounds(options, rules, exact))
    held += list(repeats(options, rules))
    found(options, rules, exact)
    print(f"CPU seconds: {time.process_time() - began:.0f}")
    print("every bound holds" if all(held) else f"bounds that do not hold: {held.count(False)}")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
