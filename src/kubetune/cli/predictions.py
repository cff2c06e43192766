"""Answers of a served model, as a person reads them: labels in a table, spans in their text, cosines of vectors."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from kubetune.cli.common import print_table, say
from kubetune.errors import ConfigError
from kubetune.redaction import quoted
from kubetune.schema.yaml_text import YamlTextError, read_yaml
from kubetune.text.marking import bracketed, filled_lines, is_decided, is_filled, is_marked, is_ranked, pieces
from kubetune.text.shown import one_line

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
WIDTH = 60
"""Characters of a text in a table."""
NUMBERS = 5
"""Numbers of a vector that are shown."""
OPTIONS = {"top_k": "--top-k", "all_scores": "--top-k", "inputs": "texts"}
"""Keys of a request that are no parameters on the command line → what is."""


def best_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer with the best of its labels; one that ranks nothing, or says which it chooses, as it is."""
    found: Any = answer.get("predictions")
    if is_decided(found):
        return dict(answer)
    return {**answer, "predictions": found[:1]} if is_ranked(found) else dict(answer)


def parameters_of(given: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of options `NAME=VALUE`, whose value is YAML as an override's is; a server checks them.

    Raises:
        ConfigError: One has no name, is no YAML, is there twice or has an option of its own.
    """
    found: dict[str, Any] = {}
    for option in given:
        name, separator, value = option.partition("=")
        name = name.strip()
        if not separator or not name or name in found:
            raise ConfigError(f"Parameter {quoted(option, 60)} is not understood: give NAME=VALUE, each name once.")
        if name in OPTIONS:
            raise ConfigError(f"Parameter {name} is an option of its own: give {OPTIONS[name]} instead.")
        try:
            found[name] = read_yaml(value)
        except YamlTextError as error:
            raise ConfigError(f"The value of parameter {quoted(name, 60)} is not YAML: {error}.") from None
    return found


def print_answers(items: Sequence[Mapping[str, str]], answers: Sequence[Mapping[str, Any]]) -> None:
    """Print what was answered on each text.

    Args:
        items: The texts of each by name.
        answers: `{"predictions": …}` or `{"error": {"status", "reason"}}` each.
    """
    pairs = [(tuple(item.values()), answer) for item, answer in zip(items, answers, strict=True)]
    if all("error" in answer or is_ranked(answer["predictions"]) for answer in answers):
        print_table(["text", "label", "score"], [row for texts, answer in pairs for row in _rows(texts[0], answer)])
        return
    vectors = [(texts[0], answer["predictions"]) for texts, answer in pairs if _is_vector(answer.get("predictions"))]
    if len(vectors) > 1 and len(vectors) == len(pairs):
        say(f"cosine with: {_cut(vectors[0][0])}")
        print_table(["text", "cosine"], [[_cut(text), f"{_cosine(vectors[0][1], of):.3f}"] for text, of in vectors[1:]])
        return
    colours: dict[str, str] = {}
    for texts, answer in pairs:
        if "error" in answer:
            say("  ".join(_rows(texts[0], answer)[0]))
        elif is_filled(answer["predictions"]):
            say(_cut(texts[0]))
            for score, line in filled_lines(answer["predictions"]):
                say(f"  {score}  {one_line(line)}")
        elif is_marked(answer["predictions"]):
            _print_marked(pieces(texts, answer["predictions"]), colours)
        elif _is_vector(answer["predictions"]):
            shown = ", ".join(f"{number:.4f}" for number in answer["predictions"][:NUMBERS])
            say(f"{_cut(texts[0])}  {len(answer['predictions']):,} numbers: {shown}, …")
        else:
            say(f"{_cut(texts[0])}  {json.dumps(answer['predictions'], ensure_ascii=False)}")


def _rows(line: str, answer: Mapping[str, Any]) -> list[list[str]]:
    error = answer.get("error")
    if error is not None:
        return [[_cut(line), f"refused: {error.get('reason')}", str(error.get("status"))]]
    found = answer["predictions"]
    if is_decided(found):
        found = [entry for entry in found if entry["chosen"]]
    labels = [[str(entry["label"]), f"{entry['score']:.3f}"] for entry in found]
    return [[_cut(line), *label] for label in labels or [["no label", ""]]]


def _is_vector(answer: Any) -> bool:
    """Whether an answer is nothing but numbers."""
    return isinstance(answer, list) and len(answer) > 0 and all(isinstance(number, float | int) for number in answer)


def _cosine(first: Sequence[float], second: Sequence[float]) -> float:
    length = math.hypot(*first) * math.hypot(*second)
    return sum(one * other for one, other in zip(first, second, strict=True)) / length if length else 0.0


def _print_marked(found: Sequence[tuple[str, str | None]], colours: dict[str, str]) -> None:
    """Print one text; in a terminal each name has a colour of its own, elsewhere there are brackets."""
    if not sys.stdout.isatty():
        say(bracketed(found))
        return
    from rich.console import Console
    from rich.text import Text

    line = Text()
    for piece, name in found:
        if name is None:
            line.append(piece)
        else:
            colour = colours.setdefault(name, COLOURS[len(colours) % len(COLOURS)])
            line.append(piece, f"bold {colour} underline").append(f" {name}", f"dim {colour}")
    Console().print(line)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."
