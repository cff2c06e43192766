"""Stage `register`: the decision, as the registry is to record it. The runner does the recording."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubetune.contract import Context, Result
from kubetune.errors import KubetuneError

OUTCOMES = ("promote", "keep", "undecided")


def run(config: Any, inputs: Mapping[str, Path], outputs: Mapping[str, Path], context: Context) -> Result:
    """Return outcome and reasons as facts; see `StageBody`.

    Raises:
        KubetuneError: The decision cannot be read.
    """
    path = inputs["decision"] / "decision.json"
    try:
        decision = json.loads(path.read_text(encoding="utf-8"))
        outcome, reasons = decision["outcome"], [str(reason) for reason in decision["reasons"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KubetuneError(f"decision.json cannot be read ({type(error).__name__}): compare the run again.") from error
    if outcome not in OUTCOMES:
        raise KubetuneError(f"decision.json says {outcome!r:.40}, allowed are {', '.join(OUTCOMES)}: compare again.")
    context.progress.note(f"the decision: {outcome}")
    return Result(facts={"outcome": outcome, "reasons": reasons})
