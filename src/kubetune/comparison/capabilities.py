"""Behavioural cases that both models met, counted a capability."""

from collections.abc import Mapping

import numpy as np

from kubetune.comparison.paired import Discordance
from kubetune.comparison.rows import Case
from kubetune.evaluation.same_texts import numbered


def paired_capabilities(
    candidate: Mapping[Case, bool], champion: Mapping[Case, bool], sources: Mapping[Case, str] | None = None
) -> dict[str, Discordance]:
    """Return capability → paired counts over the cases that both met; "right" is passed.

    Args:
        candidate: Case → whether it passed.
        champion: The same of the champion.
        sources: Case → the template or test row that it was made of: such cases are alike. None: each has its own.
    """
    met: dict[str, list[Case]] = {}
    for case in sorted(candidate.keys() & champion.keys()):
        met.setdefault(case[0], []).append(case)
    return {capability: _paired(cases, (candidate, champion), sources) for capability, cases in met.items()}


def _paired(
    cases: list[Case], passed: tuple[Mapping[Case, bool], Mapping[Case, bool]], sources: Mapping[Case, str] | None
) -> Discordance:
    first, second = (np.array([found[case] for case in cases], dtype=bool) for found in passed)
    clusters = None if sources is None else numbered(sources[case] for case in cases)
    return Discordance.of(first, second, clusters, copies=False)
