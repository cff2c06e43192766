"""What a request may ask of an answer: values are checked by their schema, and a gateway reads all of it lightly."""

import subprocess
import sys
from typing import Any

import pytest

from kubetune.tasks.answers import Parameter, chosen_parameters

WHOLE = {"type": "integer", "minimum": 1}
NAMES = {"type": "array", "items": {"type": "string"}, "minItems": 1}
VALUES: list[tuple[dict[str, Any], Any, bool]] = [
    *((WHOLE, value, True) for value in (1, 10**9)),
    *((WHOLE, value, False) for value in (0, -1, 1.0, "1", True, [1], {})),
    *(({"type": "number"}, value, True) for value in (1, 0.5)),
    *(({"type": "number"}, value, False) for value in (True, "1")),
    *(({"type": "boolean"}, value, True) for value in (True, False)),
    *(({"type": "boolean"}, value, False) for value in (1, 0, "true")),
    ({"enum": ["a", "b"]}, "a", True),
    *(({"enum": ["a", "b"]}, value, False) for value in ("c", 1, ["a"], True)),
    *(({"enum": [0]}, value, wanted) for value, wanted in ((0, True), (1, False), (False, False))),
    *((NAMES, value, True) for value in (["a"], ["a", ""])),
    *((NAMES, value, False) for value in ([], "a", [1], [None], [["a"]], {"a": 1})),
]


@pytest.mark.parametrize(("schema", "value", "wanted"), VALUES)
def test_a_value_fits_its_schema(schema: dict[str, Any], value: Any, wanted: bool) -> None:
    known = {"name": Parameter(schema, "right")}
    assert chosen_parameters(known, {"name": value}) == ({"name": value} if wanted else "`name` must be right")


def test_null_says_nothing() -> None:
    assert chosen_parameters({"name": Parameter(WHOLE, "right")}, {"name": None}) == {}


def test_answers_of_every_task_are_known_without_the_heavy_stack() -> None:
    """A gateway compares golden vectors and shows its page in a container that is sized without torch."""
    program = (
        "import sys\n"
        "import kubetune.serving.torchserve.server, kubetune.serving.golden.vectors, kubetune.cli.predictions\n"
        "from kubetune.tasks import load_task\n"
        "for kind in ('text-classification', 'pair-classification', 'token-classification'):\n"
        "    form = load_task(kind).form\n"
        "    assert form.says and form.schema and form.hub.pipeline and form.expectation([]) is not None\n"
        "found = {'torch', 'transformers', 'pyarrow', 'pandas'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
