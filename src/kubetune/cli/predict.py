"""`kubetune predict TEXT`: ask a served model over HTTP."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kubetune.cli.common import AsJson, StoreUrl, print_json, print_table, settings_for

if TYPE_CHECKING:
    from kubetune.config.settings import Settings


def command(
    texts: Annotated[list[str], typer.Argument(help="Texts; `-` reads one a line from standard input.")],
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Endpoint or URL; the default is the only one there is.")
    ] = None,
    pair: Annotated[str | None, typer.Option("--pair", help="Second text, for a task on pairs.")] = None,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Labels an answer.")] = 1,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Print the labels that a served model gives to texts."""
    settings = settings_for(store)
    lines = [line.rstrip("\n") for text in texts for line in (sys.stdin if text == "-" else [text])]
    items = [{"text": line} | ({"text_pair": pair} if pair is not None else {}) for line in lines]
    answers = asked(settings, endpoint, items, top_k)
    if as_json:
        print_json([{**item, **answer} for item, answer in zip(items, answers, strict=True)])
    else:
        print_table(
            ["text", "label", "score"],
            [row for line, answer in zip(lines, answers, strict=True) for row in rows_of(line, answer)],
        )
    if any("error" in answer for answer in answers):
        from kubetune.errors import DataError

        raise DataError("request", "At least one text was refused; its reason stands beside it.")


def asked(
    settings: "Settings", endpoint: str | None, items: list[dict[str, str]], top_k: int
) -> list[dict[str, object]]:
    """Ask the cluster where the settings name its store and endpoints, else a server of this machine."""
    from kubetune.cli.cluster import way_of
    from kubetune.cli.endpoints import known_state
    from kubetune.client import endpoint as remote
    from kubetune.errors import ConfigError
    from kubetune.serving.local.endpoints import predict

    url = endpoint if endpoint is not None and "://" in endpoint else None
    if url is None and (settings.endpoint_url is None or not settings.store.startswith("s3://")):
        state = known_state(settings)
        return predict(state, endpoint or only_endpoint(state), items, top_k)
    if endpoint is None:
        raise ConfigError("Which endpoint of the cluster is meant? Name it with --endpoint.")
    key = settings.api_key.get_secret_value() if settings.api_key else None
    return remote.predict(way_of(settings), url or remote.url_of(settings.endpoint_url, endpoint), items, top_k, key)


def rows_of(line: str, answer: dict[str, object]) -> list[list[str]]:
    """Table rows of one answer."""
    shown = line if len(line) <= 60 else line[:57] + "..."
    error, found = answer.get("error"), answer.get("predictions")
    if isinstance(error, dict):
        return [[shown, f"refused: {error.get('reason')}", str(error.get("status"))]]
    predictions = found if isinstance(found, list) else []
    return [[shown, str(item["label"]), f"{item['score']:.3f}"] for item in predictions]


def only_endpoint(state: "object") -> str:
    """Return the name of the only running endpoint.

    Raises:
        ConfigError: There is none, or more than one.
    """
    from pathlib import Path

    from kubetune.errors import ConfigError
    from kubetune.serving.local.endpoints import endpoints

    names = [item.name for item in endpoints(Path(str(state))) if item.pid is not None]
    if len(names) == 1:
        return names[0]
    known = ", ".join(names) or "none"
    raise ConfigError(f"Which endpoint is meant? Running on this machine: {known}; name one with --endpoint.")
