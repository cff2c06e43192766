"""Predictions: by an archive in this process, by an endpoint here or in a cluster. Both answer alike."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kubetune.api.opening import opened, require_store, settings_for
from kubetune.api.runs import Run
from kubetune.errors import ConfigError, KubetuneError
from kubetune.text.marking import bracketed, filled_lines, is_filled, is_marked, is_ranked, pieces

if TYPE_CHECKING:
    from kubetune.config.settings import Settings
    from kubetune.serving.predictor import Predictor

Item = str | Mapping[str, str]
"""A text, or texts by name as in a request: `text`, `text_pair`, or the columns that training joined."""
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class TextPrediction:
    """What a model says of one item; printed, what it found in a text stands in the text.

    Attributes:
        item: What was asked.
        scores: Label → probability, the best first; empty where the item was refused, or no label is answered.
        status: 200, or the HTTP status of the refusal: 400 wrong form, 413 too long, 422 nothing to predict on.
        reason: Why it was refused, in one sentence; empty otherwise.
        answer: As a server gives it in JSON, for example the entities of a text; None where the item was refused.
    """

    item: Item
    scores: Mapping[str, float]
    status: int = 200
    reason: str = ""
    answer: Any = field(default=None, repr=False)

    def __str__(self) -> str:
        texts = (self.item,) if isinstance(self.item, str) else tuple(map(str, self.item.values()))
        if is_filled(self.answer):
            return "\n".join(f"{score}  {line}" for score, line in filled_lines(self.answer))
        return bracketed(pieces(texts, self.answer)) if is_marked(self.answer) else repr(self)

    @property
    def label(self) -> str | None:
        """The most probable label; None where there is none."""
        return next(iter(self.scores), None)

    @property
    def score(self) -> float | None:
        """Its probability."""
        return next(iter(self.scores.values()), None)


class TextPredictor:
    """An archive that was loaded into this process. Not thread-safe."""

    def __init__(self, predictor: "Predictor") -> None:
        self._predictor = predictor

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names by class number."""
        return self._predictor.archive.labels

    def predict(self, items: Sequence[Item], top_k: int | None = None, **parameters: Any) -> list[TextPrediction]:
        """Return what the model says of each item, as a server of the same archive would.

        Args:
            items: Raw texts; they are cleaned here as in training.
            top_k: Labels an item, at least 1; None: all.
            parameters: Of the task, as `candidate_labels`.

        Raises:
            ConfigError: `items`, `top_k` or a parameter has another form.
        """
        from kubetune.serving import request as body
        from kubetune.serving.asking import ask
        from kubetune.serving.predictor import Refusal

        archive = self._predictor.archive
        wanted = body_of(items, top_k, parameters)
        if not wanted["inputs"]:
            return []
        form = body.request_form(self._predictor.task, sys.maxsize, archive.texts)
        request = body.from_json(wanted, form)
        if isinstance(request, Refusal):
            raise ConfigError(f"These items cannot be asked: {request.reason}.")
        (outcomes,) = ask([request], self._predictor)
        _, text = body.answer(request, outcomes, self._predictor.task, archive.labels, archive.serving.top_k)
        return predictions_of(items, json.loads(text)["results"])


class EndpointClient:
    """An endpoint of this machine or of a cluster."""

    def __init__(self, endpoint: str | None = None, *, key: str | None = None, store: str | Path | None = None) -> None:
        """Name an endpoint; nothing is asked yet.

        Args:
            endpoint: Its name or `http(s)://…/predictions/NAME`; None: the only one that runs on this machine.
            key: API key of a cluster's endpoint; None: the settings' one.
            store: Store that it belongs to; None: the settings' one.

        Raises:
            ConfigError: A setting is not allowed.
        """
        from pydantic import SecretStr

        settings = settings_for(store)
        self._settings = settings if key is None else settings.model_copy(update={"api_key": SecretStr(key)})
        self._endpoint = endpoint

    def predict(self, items: Sequence[Item], top_k: int | None = None, **parameters: Any) -> list[TextPrediction]:
        """Return what the served model says of each item.

        Args:
            items: Raw texts.
            top_k: Labels an item, at least 1; None: all.
            parameters: Of the task, as `candidate_labels`; the server checks them.

        Raises:
            ConfigError: There is no such endpoint, it is stopped, its key is another, or it refused the request.
            TemporaryError: It does not answer, or is overloaded.
        """
        sent = [{"text": item} if isinstance(item, str) else dict(item) for item in body_of(items, top_k)["inputs"]]
        found = asked(self._settings, self._endpoint, sent, top_k, parameters) if sent else []
        return predictions_of(items, found)


def load_predictor(source: str | Path | Run, *, store: str | Path | None = None, device: str = "cpu") -> TextPredictor:
    """Load an archive into this process; it must reproduce its golden rows, as a server must to be ready.

    Args:
        source: A run or its id (one that its comparison kept back is packaged for this look, and kept nowhere), or the
            folder of an archive, as `kubetune pull RUN archive` brings it.
        store: Where an id is looked up: a folder or `s3://bucket/prefix`; None: the settings' one.
        device: Torch device.

    Raises:
        ConfigError: There is no such run, it has no archive yet, or the folder is none of a known format.
        CorruptArtifactError: A file does not have its digest.
        DataError: Trusted keys are set, and none of them signed the archive.
        RefusedError: The run missed a threshold.
        KubetuneError: It does not reproduce its golden rows.
    """
    if isinstance(source, Path):
        if settings_for(store).trusted_keys is not None:
            raise ConfigError(
                "KUBETUNE_TRUSTED_KEYS asks for a statement, which names a model, and a folder has none: give its run."
            )
        return loaded(source, device)
    from kubetune.execution.platform import trust_for
    from kubetune.models.history import model_of_run
    from kubetune.models.looks import archive_for_look
    from kubetune.serving.archive.manifest import archive_digest

    name = source.name if isinstance(source, Run) else source
    settings, opened_store = (source.settings, source.store) if isinstance(source, Run) else opened(store)
    with archive_for_look(opened_store, settings, name, Quiet()) as archive:
        trust = trust_for(settings, model_of_run(opened_store, name), opened_store)
        if trust is not None:
            trust.find(archive.parent, archive_digest(archive))
        return loaded(archive, device)


def loaded(folder: Path, device: str) -> TextPredictor:
    """Load an archive's folder and prove it; the folder may go afterwards.

    Raises:
        ConfigError, CorruptArtifactError, DataError: As `serving.predictor.Predictor`.
        KubetuneError: It does not reproduce its golden rows.
    """
    from kubetune.serving.golden.rescoring import golden_answers
    from kubetune.serving.golden.vectors import check_golden, read_golden
    from kubetune.serving.predictor import Predictor

    predictor = Predictor(folder, device)
    if wrong := check_golden(read_golden(folder), golden_answers(predictor), predictor.task.form):
        raise KubetuneError(f"The archive does not reproduce what was evaluated: {'; '.join(wrong)}.")
    return TextPredictor(predictor)


class Quiet:
    """Progress that is not shown: a look at an archive takes seconds."""

    def start(self, what: str, total: int | None = None) -> None:
        """See `contract.Progress`."""

    def advance(self, by: int = 1, **facts: float | str) -> None:
        """See `contract.Progress`."""

    def note(self, line: str) -> None:
        """See `contract.Progress`."""


def body_of(items: Sequence[Item], top_k: int | None, parameters: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
    """Return the JSON body of a request.

    Raises:
        ConfigError: A lone text would be asked letter by letter; `top_k` is not 1 or more.
    """
    if isinstance(items, str | Mapping):
        raise ConfigError("Give a list of texts, also of one: predict([text]).")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k is {top_k}: allowed are 1 and more, and None for all labels.")
    return {"inputs": list(items), **parameters, **({"all_scores": True} if top_k is None else {"top_k": top_k})}


def predictions_of(items: Sequence[Item], results: Sequence[Mapping[str, Any]]) -> list[TextPrediction]:
    """Return answers as objects; each is `{"predictions": […]}` or `{"error": {"status", "reason"}}`."""
    return [
        TextPrediction(item, {}, int(result["error"]["status"]), str(result["error"]["reason"]))
        if "error" in result
        else TextPrediction(item, scores_of(result["predictions"]), answer=result["predictions"])
        for item, result in zip(items, results, strict=True)
    ]


def scores_of(answer: Any) -> dict[str, float]:
    """Return label → probability of an answer that ranks labels; nothing of another one."""
    return {str(each["label"]): float(each["score"]) for each in answer} if is_ranked(answer) else {}


def known_state(settings: "Settings") -> Path:
    """Return the folder that holds the endpoints of a store.

    Raises:
        ConfigError: There is neither an endpoint nor a store: it was looked for in the wrong folder.
    """
    from kubetune.config.settings import state_folder
    from kubetune.serving.local.endpoints import local_endpoints

    state = state_folder(settings)
    if not local_endpoints(state):
        require_store(settings)
    return state


def asked(
    settings: "Settings",
    endpoint: str | None,
    items: Sequence[Mapping[str, str]],
    top_k: int | None,
    parameters: Mapping[str, Any] = NOTHING,
) -> list[dict[str, Any]]:
    """Ask the cluster where the settings name its store and endpoints, else a server of this machine.

    Args:
        settings: Settings.
        endpoint: Name or URL; None: the only one that runs on this machine.
        items: `{"text": …}` or `{"text": …, "text_pair": …}` each.
        top_k: Labels an item; None: all.
        parameters: Further ones, which the server checks.

    Returns:
        One entry an item: `{"predictions": the answer}` or `{"error": {"status", "reason"}}`.

    Raises:
        ConfigError: There is no such endpoint, it is stopped, its key is another, or it refused the request.
        TemporaryError: It does not answer, or is overloaded.
    """
    from kubetune.client import endpoint as remote
    from kubetune.client.http import way_of
    from kubetune.serving.local.endpoints import predict_locally

    url = endpoint if endpoint is not None and "://" in endpoint else None
    if url is None and (settings.endpoint_url is None or not settings.store.startswith("s3://")):
        state = known_state(settings)
        return predict_locally(state, endpoint or only_endpoint(state), items, top_k, parameters)
    if endpoint is None:
        raise ConfigError("Which endpoint of the cluster is meant? Name it with --endpoint.")
    key = settings.api_key.get_secret_value() if settings.api_key else None
    address = url or remote.url_of(settings.endpoint_url, endpoint)
    return remote.predict_in_cluster(way_of(settings), address, items, top_k, parameters, key)


def only_endpoint(state: Path) -> str:
    """Return the name of the only running endpoint.

    Raises:
        ConfigError: There is none, or more than one.
    """
    from kubetune.serving.local.endpoints import local_endpoints

    names = [item.name for item in local_endpoints(state) if item.pid is not None]
    if len(names) == 1:
        return names[0]
    known = ", ".join(names) or "none"
    raise ConfigError(f"Which endpoint is meant? Running on this machine: {known}; name one with --endpoint.")
