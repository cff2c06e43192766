"""Stage `register`: what it reads of the decision. What the runner then does is in `tests/test_promotion.py`."""

import json
from pathlib import Path

import pytest

from kubetune.errors import KubetuneError
from kubetune.stages import register
from served_toys import Quiet


def registered(folder: Path, text: str) -> dict:
    (folder / "decision.json").write_text(text, encoding="utf-8")
    return dict(register.run(None, {"decision": folder}, {}, Quiet(folder)).facts)


def test_outcome_and_reasons_become_facts(tmp_path: Path) -> None:
    text = json.dumps({"outcome": "promote", "reasons": ["macro-F1 rose by 0.02."], "document": {}})
    assert registered(tmp_path, text) == {"outcome": "promote", "reasons": ["macro-F1 rose by 0.02."]}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"outcome": "promote"}', '{"reasons": []}', '{"outcome": "maybe", "reasons": []}',
     '{"outcome": null, "reasons": []}', '{"outcome": "keep", "reasons": 3}'],
)  # fmt: skip
def test_a_decision_that_cannot_be_read_is_an_error_with_what_to_do(tmp_path: Path, text: str) -> None:
    with pytest.raises(KubetuneError, match=r"compare (the run )?again"):
        registered(tmp_path, text)


def test_no_decision_at_all(tmp_path: Path) -> None:
    with pytest.raises(KubetuneError, match="cannot be read"):
        register.run(None, {"decision": tmp_path}, {}, Quiet(tmp_path))
