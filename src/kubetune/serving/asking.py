"""Requests to the model: an item of a request may be several of the model's, as a text with candidate labels is."""

from collections.abc import Iterator, Sequence

from kubetune.serving.predictor import Answer, Outcome, Predictor, Refusal
from kubetune.serving.request import Request


def ask(requests: Sequence[Request], predictor: Predictor) -> list[list[Outcome]]:
    """Return the outcomes of each request's items, in their order; the model is asked all of them at once.

    The prediction of an item that the task made several of is a tuple of theirs; one that is refused refuses it.
    """
    asked = [[_items(item, request, predictor) for item in request.items] for request in requests]
    flat = [one for items in asked for found in items if not isinstance(found, Refusal) for one in found]
    answers = iter(predictor.predict(flat))
    return [
        [_outcome(found, request, predictor, answers) for found in items]
        for request, items in zip(requests, asked, strict=True)
    ]


def _items(
    item: tuple[object, ...] | Refusal, request: Request, predictor: Predictor
) -> tuple[tuple[object, ...], ...] | Refusal:
    if isinstance(item, Refusal):
        return item
    found = predictor.task.asked(item, request.parameters)
    return Refusal(400, found) if isinstance(found, str) else found


def _outcome(
    asked: tuple[tuple[object, ...], ...] | Refusal, request: Request, predictor: Predictor, found: Iterator[Outcome]
) -> Outcome:
    if isinstance(asked, Refusal):
        return asked
    outcomes = [next(found) for _ in asked]
    known = predictor.task.form.parameters
    if not any(known[name].each for name in request.parameters if name in known):
        return outcomes[0]
    refused = next((outcome for outcome in outcomes if isinstance(outcome, Refusal)), None)
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    return refused or Answer(tuple(each.prediction for each in answers), sum(each.tokens for each in answers))
