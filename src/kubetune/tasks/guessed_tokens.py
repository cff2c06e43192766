"""What a model makes of the masked tokens of a row of data, in a few numbers instead of a vocabulary of them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kubetune.metrics.base import Ints
from kubetune.tasks.base import Feature
from kubetune.tasks.masking import masked_ids

if TYPE_CHECKING:
    import torch

NLL, RANK, BEST, SHARE = range(4)
"""Numbers of a masked token: negative log-likelihood in nats, rank, the likeliest token, its probability."""


class TokenGuess(NamedTuple):
    """What a model makes of one masked token.

    Attributes:
        truth: Its name.
        answer: The name of the likeliest token.
        nll: Negative log-likelihood of the truth, nats.
        rank: How many tokens are at least as likely as the truth.
        share: Probability of the likeliest token.
    """

    truth: str
    answer: str
    nll: float
    rank: int
    share: float


def guess_numbers(logits: "torch.Tensor", row: Feature) -> np.ndarray:
    """Return `NLL` and so on of the masked tokens of a row, (masks, 4) float32, of logits (masks, vocabulary)."""
    import torch

    truth = torch.from_numpy(masked_ids(row)).to(logits.device).unsqueeze(1)
    right = logits.gather(1, truth)
    whole = torch.logsumexp(logits, dim=1, keepdim=True)
    rank = (logits >= right).sum(dim=1, keepdim=True)
    most, best = logits.max(dim=1, keepdim=True)
    numbers: np.ndarray = torch.cat([whole - right, rank, best, (most - whole).exp()], dim=1).float().cpu().numpy()
    return numbers


def shares_of(logits: "torch.Tensor") -> np.ndarray:
    """Return the probability of each token of the vocabulary, (masks, vocabulary) float32."""
    import torch

    shares: np.ndarray = torch.softmax(logits, dim=-1).cpu().numpy()
    return shares


def guesses_of(output: np.ndarray, row: Feature, name: Callable[[int], str]) -> list[TokenGuess]:
    """Return the guesses at the masked tokens of a row.

    Args:
        output: Of `guess_numbers`.
        row: The row.
        name: Id of a token → its name.
    """
    return [
        TokenGuess(name(int(truth)), name(int(each[BEST])), float(each[NLL]), int(each[RANK]), float(each[SHARE]))
        for truth, each in zip(masked_ids(row), output, strict=True)
    ]


def among(ranks: Sequence[np.ndarray], most: int) -> Ints:
    """Return how many ranks of each row are at most `most`, shape (rows,)."""
    return np.array([np.count_nonzero(each <= most) for each in ranks], dtype=np.int64)
