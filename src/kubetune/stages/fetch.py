"""Stage `fetch`: the model source → tokenizer and weights, frozen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubetune.contract import Context, Result
from kubetune.data.models import load_model_source


def run(config: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path], context: Context) -> Result:
    """See `StageBody`.

    Raises:
        ConfigError: The source cannot be used as asked (absent, gated, offline).
        DataError: What is there is no checkpoint that can be loaded without running its code.
        TemporaryError: Its server does not answer, or broke off; nothing is kept.
    """
    source = config.model.source
    context.progress.start(f"fetching the model from {source.kind}", total=1)
    facts = load_model_source(source.kind).fetch(
        source, context.platform, outputs["tokenizer"], outputs["weights"], context.scratch
    )
    context.progress.advance()
    for line in facts["added"]:
        context.progress.note(f"added to {line}")
    parameters = facts.get("parameters")
    context.progress.note(f"licence: {facts['licence'] or 'not stated'}; parameters: {parameters or 'drawn in train'}")
    return Result(metrics={} if parameters is None else {"parameters": float(parameters)}, facts=facts)
