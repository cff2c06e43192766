"""Every perturbation by name: a pure function of text and seed that gives another text, or None: it does not apply."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from kubetune.behaviour import negation, surface, swaps, typos
from kubetune.behaviour.lexicons import shipped_lexicon
from kubetune.behaviour.swaps import Groups
from kubetune.errors import ConfigError
from kubetune.text.gate import RAW, Unreadable

Plain = Callable[[str, Random], str | None]
Listed = Callable[[str, Random, Groups], str | None]


@dataclass(frozen=True)
class Perturbation:
    """One way to change a text.

    Attributes:
        change: The function; may return its input, which counts as None.
        keeps_meaning: Whether a text means the same afterwards: negating words stay in their number.
    """

    change: Plain
    keeps_meaning: bool = True


@dataclass(frozen=True)
class ListPerturbation:
    """One way to change a text that draws from a list.

    Attributes:
        change: The function.
        lexicon: Shipped list that is used unless a suite names another; None: a suite must name one.
        keeps_meaning: As in `Perturbation`, with the shipped list.
    """

    change: Listed
    lexicon: str | None
    keeps_meaning: bool = True


def perturb(name: str, text: str, seed: str, entries: Groups | None = None) -> str | None:
    """Return `text` perturbed, or None where the perturbation does not apply or changes nothing.

    Args:
        name: Of `PERTURBATIONS`.
        text: Any string.
        seed: Equal arguments give an equal text, in every process.
        entries: List to draw from, for those that take one; None: the shipped list.

    Raises:
        ConfigError: The name is unknown, or a list is missing or not taken.
    """
    chosen = PERTURBATIONS.get(name)
    if chosen is None:
        raise ConfigError(f"Perturbation {name!r} does not exist: allowed are {', '.join(PERTURBATIONS)}.")
    draw = Random(f"{seed}|{name}|{text}".encode("utf-8", "surrogatepass"))  # hashed by SHA-512, not by `hash`
    if isinstance(RAW.read(text), Unreadable):
        return None
    if isinstance(chosen, Perturbation):
        if entries is not None:
            raise ConfigError(f"Perturbation {name!r} takes no list: leave `using` out.")
        changed = chosen.change(text, draw)
    else:
        if entries is None and chosen.lexicon is None:
            raise ConfigError(f"Perturbation {name!r} needs a list: name one as `using`.")
        changed = chosen.change(text, draw, entries if entries is not None else shipped_lexicon(chosen.lexicon or ""))
    return None if changed == text or isinstance(RAW.read(changed), Unreadable) else changed


PERTURBATIONS: Mapping[str, Perturbation | ListPerturbation] = MappingProxyType(
    {
        "typo": Perturbation(typos.any_typo),
        "typo-swap": Perturbation(typos.swap_letters),
        "typo-drop": Perturbation(typos.drop_letter),
        "typo-repeat": Perturbation(typos.repeat_letter),
        "typo-neighbour": Perturbation(typos.neighbouring_key),
        "contract": Perturbation(negation.contract),
        "expand": Perturbation(negation.expand),
        "negate": Perturbation(negation.negate, keeps_meaning=False),
        "affirm": Perturbation(negation.affirm, keeps_meaning=False),
        "upper-case": Perturbation(surface.upper_case),
        "lower-case": Perturbation(surface.without_capitals),
        "punctuation-add": Perturbation(surface.add_punctuation),
        "punctuation-drop": Perturbation(surface.drop_punctuation),
        "emoji-add": ListPerturbation(surface.add_emoji, "emoji"),
        "emoji-drop": Perturbation(surface.drop_emoji, keeps_meaning=False),
        "url-add": Perturbation(surface.add_url),
        "mention-add": Perturbation(surface.add_mention),
        "swap-name": ListPerturbation(swaps.swap_proper, "names"),
        "swap-place": ListPerturbation(swaps.swap_proper, "places"),
        "swap-number": Perturbation(swaps.swap_number),
        "synonym": ListPerturbation(swaps.swap_word, "synonyms"),
        "append-neutral": ListPerturbation(swaps.append_sentence, "neutral"),
        "prepend-neutral": ListPerturbation(swaps.prepend_sentence, "neutral"),
        "append": ListPerturbation(swaps.append_sentence, None, keeps_meaning=False),
        "prepend": ListPerturbation(swaps.prepend_sentence, None, keeps_meaning=False),
        "intensify": ListPerturbation(swaps.intensify, "adjectives", keeps_meaning=False),
        "soften": ListPerturbation(swaps.soften, "adjectives", keeps_meaning=False),
        "break-agreement": Perturbation(typos.break_agreement, keeps_meaning=False),
        "break-order": Perturbation(typos.break_order, keeps_meaning=False),
        "repeat-word": Perturbation(typos.repeat_word, keeps_meaning=False),
    }
)
"""The perturbations of one text. `PAIR_PERTURBATIONS` change an item of two texts."""

PAIR_ORDER = "pair-order"
"""The two texts of an item change places."""
PAIR_SAME = "pair-same"
"""The first text of an item stands in the place of the second one, too."""
PAIR_PERTURBATIONS = (PAIR_ORDER, PAIR_SAME)
