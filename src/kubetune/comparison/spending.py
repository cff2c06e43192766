"""Alpha over a sequence of comparisons on the same test rows, of any length.

Nightly retraining asks the same rows again and again, and at a fixed level some equal model is promoted sooner or
later. Comparison k is therefore made at `alpha / (k (k + 1))`. These levels add up to alpha over an endless sequence,
so by the union bound the chance of one wrong promotion *ever* is at most alpha, however the comparisons depend on each
other, and they depend strongly: same rows, same champion. (Online Bonferroni, or alpha spending: Foster and Stine 2008;
Tian and Ramdas, Statistical Methods in Medical Research 30, 2021.)

Why this series: k (k + 1) telescopes, so what is left after k comparisons is exactly `alpha / (k + 1)`, a number that a
person can check. Against `6 / (pi^2 k^2)` it gives less to the first comparison (0.5 for 0.61) and more to each later
one (1.6 times as much in the end). Slower series (`1 / (k log^2 k)`) gain little: levels act through normal quantiles.
Adaptive rules that spend less on clear losers need independent p-values, which comparisons on the same rows are not.

What it does not cover: candidates that were tuned by hand to the single test rows shown in reports, and a test split of
which more than half is drawn anew, which starts a new sequence. While nothing is promoted, "not promoted" is the only
news, so a candidate that was chosen because of it is covered (Feng et al., UAI 2022). After a promotion the new
champion's score on these rows is, if anything, too high, which makes the next promotion harder, not easier.
"""

from dataclasses import dataclass

from kubetune.errors import KubetuneError


@dataclass(frozen=True)
class Spending:
    """What of alpha belongs to the comparison that is made now.

    Attributes:
        alpha: Bound for the whole sequence.
        earlier: Comparisons that were already made on the same test rows.
    """

    alpha: float
    earlier: int = 0

    def __post_init__(self) -> None:
        if self.earlier < 0:
            raise KubetuneError(f"{self.earlier} earlier comparisons were found; count them from 0 and compare again.")

    @property
    def number(self) -> int:
        """Which comparison on these rows this is, from 1."""
        return self.earlier + 1

    @property
    def level(self) -> float:
        """Level of this comparison."""
        return self.alpha / (self.number * (self.number + 1))

    @property
    def left(self) -> float:
        """What is left for all comparisons after this one together."""
        return self.alpha / (self.number + 1)

    @property
    def next(self) -> "Spending":
        """The spending of the comparison after this one."""
        return Spending(self.alpha, self.earlier + 1)
