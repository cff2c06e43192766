"""Make `values.schema.json` of `values.schema.yaml`: every object that names its keys is closed."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[1] / "kubetune"
SOURCE, TARGET = CHART / "values.schema.yaml", CHART / "values.schema.json"
DIALECT = "http://json-schema.org/draft-07/schema#"
"""Understood by Helm 3 and 4 alike."""
REFUSED = "(set by the chart: leave it out)"
"""The only value that a refused key may have, for its message: both Helms print it, and no label may be it."""


def closed(node: Any) -> Any:
    """Return a schema in which no object with named keys takes others, and whose errors name the key that is wrong.

    `propertyNames` becomes `patternProperties`, since Helm 4 reports the former at the root of all values; an `allOf`
    that only adds a description to a definition becomes the reference, which adds no line of its own to an error.
    Conditions (`not`) are left as they are.
    """
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {key: value if key == "not" else closed(value) for key, value in node.items()}
    if set(result) <= {"allOf", "description"} and len(result.get("allOf", ())) == 1:
        (definition,) = result.pop("allOf")
        result = {**definition, **result}
    if "propertyNames" in result:
        names = result.pop("propertyNames")
        allowed = result.pop("additionalProperties", True)
        if "not" in names:  # some names are refused, all others are allowed
            refused = {"enum": [REFUSED]}
            result |= {"patternProperties": {names["not"]["pattern"]: refused}, "additionalProperties": allowed}
        else:
            result |= {"patternProperties": {_pattern(names): allowed}, "additionalProperties": False}
    if result.get("type") == "object" and isinstance(result.get("properties"), dict):
        result.setdefault("additionalProperties", False)
    return result


def _pattern(names: dict[str, Any]) -> str:
    """Return the regular expression of the keys that `propertyNames` allows by `pattern`, `enum` or a definition."""
    if "$ref" in names:
        source = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
        names = source["definitions"][names["$ref"].rpartition("/")[2]]
    return str(names["pattern"]) if "pattern" in names else f"^({'|'.join(names['enum'])})$"


def schema() -> dict[str, Any]:
    """Return the whole schema."""
    source = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    # Helm hands every chart the key `global`, and values of parents may lie there; ours are closed all the same.
    return {"$schema": DIALECT, "title": "Values of the chart kubetune", **closed(source)}


def text() -> str:
    """Return the file's text."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv and TARGET.read_text(encoding="utf-8") != text():
        sys.exit("values.schema.json is not what values.schema.yaml makes: run `python charts/tools/schema.py`.")
    TARGET.write_text(text(), encoding="utf-8")
