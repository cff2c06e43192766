"""Behavioural cases that both models met, counted a capability."""

from collections.abc import Mapping

from kubetune.promotion.paired import Discordance
from kubetune.promotion.rows import Case


def paired_capabilities(candidate: Mapping[Case, bool], champion: Mapping[Case, bool]) -> dict[str, Discordance]:
    """Return capability → paired counts over the cases that both met; "right" is passed.

    Args:
        candidate: Case → whether it passed.
        champion: The same of the champion.
    """
    counts: dict[str, list[int]] = {}
    for case in sorted(candidate.keys() & champion.keys()):
        found = counts.setdefault(case[0], [0, 0, 0])
        found[0] += candidate[case] and not champion[case]
        found[1] += champion[case] and not candidate[case]
        found[2] += 1
    return {capability: Discordance(*found) for capability, found in counts.items()}
