"""The interval of a failure rate, of cases that are independent or come in clusters."""

import math
from collections.abc import Collection

Z = 1.959963984540054
"""97.5 % point of the normal distribution."""


def wilson(failures: int, count: int) -> tuple[float, float]:
    """Return the ends of the 95 % score interval of Wilson (JASA 22, 1927); (0, 1) without cases.

    It is closed form, so that its bits do not depend on a library's version, and it says something at 0 failures.

    Args:
        failures: 0 … `count`.
        count: Independent cases.
    """
    return clustered_wilson([(count, failures)], 1.0 * count)


def clustered_wilson(clusters: Collection[tuple[int, int]], independent: float | None = None) -> tuple[float, float]:
    """Return the ends of Wilson's 95 % interval for cases that come in clusters; (0, 1) without cases.

    Cases of one template are alike: a model that fails on one often fails on all. The interval is that of as many
    independent cases as say as much, `effective_cases` (Korn and Graubard, Survey Methodology 24, 1998).

    Args:
        clusters: Cases and failures of each cluster, at least one case each.
        independent: That number, where it is known.
    """
    count, failures = (sum(cluster[part] for cluster in clusters) for part in (0, 1))
    if not 0 <= failures <= count:
        raise ValueError(f"{failures} failures of {count} cases")
    if count == 0:
        return 0.0, 1.0
    number = effective_cases(clusters) if independent is None else independent
    rate, square = failures / count, Z * Z
    centre = (rate + square / (2 * number)) / (1 + square / number)
    half = Z / (1 + square / number) * math.sqrt(rate * (1 - rate) / number + square / (4 * number * number))
    return (0.0 if failures == 0 else centre - half), (1.0 if failures == count else centre + half)


def effective_cases(clusters: Collection[tuple[int, int]]) -> float:
    """Return how many independent cases would say as much as these clusters.

    It is `cases / (1 + (m - 1) r)` with `m` the mean cluster size that a case meets (Kish 1965) and `r` how alike the
    cases of a cluster are, 0 … 1. `r` is estimated from the spread of the clusters' rates and is drawn towards 1 by as
    much weight as one failure a cluster: a few failures, or none, do not tell whether a further template would not
    fail as a whole. So one template is one case until failures inside it say otherwise.

    Args:
        clusters: Cases and failures of each cluster, at least one case each.
    """
    count, failures = (sum(cluster[part] for cluster in clusters) for part in (0, 1))
    size = sum(cases**2 for cases, _ in clusters) / count
    if size == 1:
        return float(count)
    rate, number, evidence = failures / count, len(clusters), min(failures, count - failures)
    alike = 1.0
    if evidence and number > 1:
        spread = sum((failed - cases * rate) ** 2 for cases, failed in clusters) * number / (number - 1)
        excess = spread / (count * rate * (1 - rate)) - 1
        alike = min(1.0, max(0.0, excess / (size - 1)))
    alike = (alike * evidence + number) / (evidence + number)
    return count / (1 + (size - 1) * alike)
