"""Answers of `fill-mask`: the likeliest tokens in the place of each mask, and the text with each of them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from kubetune.tasks.answers import AnswerForm, HubForm, Parameter
from kubetune.tasks.asked_masks import targets_of

if TYPE_CHECKING:
    import pyarrow as pa

    from kubetune.tasks.asked_masks import Filled
    from kubetune.tasks.base import Encoding

HUB = HubForm(
    pipeline="fill-mask",
    arguments="tokenizer_kwargs={'truncation': True}",
    because="without it a longer text fails",
    classes="MASKED_LM",
    client="fill_mask",
    in_list=False,
    text="The text in which a [MASK] is wanted",
    writes_token=True,
)
TOP_K = 5
PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "top_k": Parameter(
            {"type": "integer", "minimum": 1, "maximum": 1000},
            "a whole number from 1 to 1,000: how many tokens each mask is answered with",
            default=TOP_K,
            all_unless_asked=True,
        ),
        "targets": Parameter(
            {
                "anyOf": [
                    {"type": "string", "pattern": "."},
                    {"type": "array", "items": {"type": "string", "pattern": "."}, "minItems": 1},
                ]
            },
            "a token of the vocabulary or a list of at least one: no other is answered",
        ),
    }
)


class MaskAnswers:
    """Implements `AnswerForm`; a prediction is the guesses at a row's masked tokens, or the `Filled` of a request.

    Args:
        tokenizer: Of the model; None where nothing is decoded.
    """

    says = (
        "An answer is the likeliest tokens in the place of the mask, each with its probability and the text that it "
        "makes; of several masks in a text, a list of those of each. The mask is the tokenizer's own: [MASK] of BERT, "
        "<mask> of RoBERTa."
    )
    hub = HUB
    request_texts: tuple[str, ...] = ()
    parameters = PARAMETERS
    judged_by: frozenset[str] = frozenset()
    flips = False
    grouped_by: tuple[str, ...] = ("masks", "top_1")
    stored_in: tuple[str, ...] = ()

    def __init__(self, tokenizer: Any = None) -> None:
        self._tokenizer = tokenizer

    @property
    def schema(self) -> Mapping[str, Any]:
        """See `AnswerForm.schema`."""
        token = {
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "token": {"type": "integer", "minimum": 0},
            "token_str": {"type": "string"},
            "sequence": {"type": "string"},
        }
        tokens = {"type": "array", "items": {"type": "object", "properties": token}}
        return {"anyOf": [tokens, {"type": "array", "items": tokens}]}

    def caveat(self, labels: Sequence[str]) -> str:
        """See `AnswerForm.caveat`."""
        del labels
        return "It fills a mask with one token, which may be a part of a word, and each of several masks by itself."

    def decode(self, prediction: "Filled", labels: Sequence[str], parameters: Mapping[str, Any]) -> list[Any]:
        """See `AnswerForm.decode`: as `transformers.pipeline` has it, by probability."""
        del labels
        wanted = parameters.get("top_k") or TOP_K
        targets = parameters.get("targets")
        vocabulary = None if targets is None else self._tokenizer.get_vocab()
        allowed = None if vocabulary is None else sorted({vocabulary[name] for name in targets_of(targets)})
        found = [
            self._tokens(prediction, mask, _likeliest(shares, wanted, allowed))
            for mask, shares in enumerate(prediction.shares)
        ]
        return found[0] if len(found) == 1 else found

    def _tokens(self, prediction: "Filled", mask: int, tokens: Sequence[int]) -> list[dict[str, Any]]:
        alone = len(prediction.places) == 1
        found = []
        for token in tokens:
            ids = [*prediction.ids]
            ids[prediction.places[mask]] = token
            found.append(
                {
                    "score": float(prediction.shares[mask, token]),
                    "token": token,
                    "token_str": self._tokenizer.decode([token]),
                    "sequence": self._tokenizer.decode(ids, skip_special_tokens=alone),
                }
            )
        return found

    def columns(self, predictions: Sequence[Any] | np.ndarray) -> "dict[str, pa.Array]":
        """See `AnswerForm.columns`; a row is as sure as the mean of its likeliest tokens' probabilities."""
        import pyarrow as pa

        guess = pa.struct([("truth", pa.string()), ("answer", pa.string()), ("score", pa.float32())])
        guesses = [
            [{"truth": one.truth, "answer": one.answer, "score": one.share} for one in row] for row in predictions
        ]
        sure = [float(np.mean([one.share for one in row])) if row else 1.0 for row in predictions]
        return {
            "guesses": pa.array(guesses, pa.list_(guess)),
            "masks": pa.array([len(row) for row in predictions], pa.int32()),
            "top_1": pa.array([sum(one.rank <= 1 for one in row) for row in predictions], pa.int32()),
            "top_5": pa.array([sum(one.rank <= 5 for one in row) for row in predictions], pa.int32()),
            "nll": pa.array([sum(one.nll for one in row) for row in predictions], pa.float64()),
            "confidence": pa.array(sure, pa.float32()),
        }

    def stored(self, table: "pa.Table") -> list[Any]:
        """See `AnswerForm.stored`: none, since a request asks for another mask."""
        del table
        return []

    def groups(self, table: "pa.Table", labels: Sequence[str]) -> "dict[str, pa.Array]":
        """See `AnswerForm.groups`: texts of which something was guessed, and those of which nothing was."""
        import pyarrow.compute as pc

        del labels
        return {"guessed": pc.greater(table["top_1"], 0), "missed": pc.equal(table["top_1"], 0)}

    def expectation(self, answer: Sequence[Any]) -> dict[str, Any]:
        """See `AnswerForm.expectation`: tokens and their probabilities, of each mask."""
        masks = answer if answer and isinstance(answer[0], list) else [answer]
        return {
            "masks": [[{"token": int(one["token"]), "score": float(one["score"])} for one in mask] for mask in masks]
        }

    def differs(self, expected: Mapping[str, Any], got: Mapping[str, Any], allowed: float) -> str | None:
        """See `AnswerForm.differs`: equal probabilities of the likeliest tokens.

        Tokens that are about as likely may change places: one that is not answered is at most as likely as the last
        one that is.
        """
        if len(expected["masks"]) != len(got["masks"]):
            return f"got {len(got['masks'])} masks filled instead of {len(expected['masks'])}"
        for wanted, found in zip(expected["masks"], got["masks"], strict=True):
            scores = {one["token"]: one["score"] for one in found}
            if len(scores) != len(wanted):
                return f"got {len(scores)} tokens instead of {len(wanted)}"
            last = min(scores.values())
            for one in wanted:
                score = scores.get(one["token"], min(last, one["score"]))
                if not abs(score - one["score"]) <= allowed:  # also of what is no number
                    return (
                        f"got {score:.4f} for token {one['token']} instead of {one['score']:.4f}, where {allowed:g} is "
                        "allowed"
                    )
        return None

    def margins(self, outputs: Sequence[np.ndarray], encoding: "Encoding") -> list[float]:
        """See `AnswerForm.margins`: no small change makes another answer."""
        del outputs
        return [1.0] * len(encoding.truncated)


def _likeliest(shares: np.ndarray, most: int, allowed: Sequence[int] | None) -> list[int]:
    """Return the ids of the likeliest tokens, the first first; equal ones by their ids."""
    among = np.arange(len(shares)) if allowed is None else np.asarray(allowed)
    found: list[int] = among[np.argsort(-shares[among], kind="stable")[:most]].tolist()
    return found


FORM: AnswerForm = MaskAnswers()
