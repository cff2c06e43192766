"""The tables of the design page are what the code says. `KUBETUNE_TEST_REGENERATE=1` writes them again."""

import ast
import os
import re
import tomllib
from pathlib import Path

from docs.pages import ROOT
from kubetune.stages import STAGES, Stage

PAGE = ROOT / "docs" / "design.md"
PACKAGE = ROOT / "src" / "kubetune"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def listed(names: tuple[str, ...]) -> str:
    return " ".join(f"`{name}`" for name in names)


def stage_row(stage: Stage) -> list[str]:
    notes = {
        "reaches outside": stage.reaches_outside,
        "effect": stage.effect is not None,
        "GPU": stage.accelerated,
        "resumable": stage.resumable,
    }
    given = (*stage.inputs, "champion") if stage.champion else stage.inputs
    known = ", ".join(note for note, holds in notes.items() if holds)
    return [f"`{stage.name}`", stage.does, listed(given), listed(stage.outputs), f"`{stage.image}`", known]


def stages_table() -> str:
    """Return the table of stages."""
    return table(["stage", "what it does", "reads", "writes", "image", "notes"], [stage_row(stage) for stage in STAGES])


def purpose(name: str) -> str:
    """Return the first paragraph of a module's or package's docstring, on one line."""
    path = PACKAGE / name / "__init__.py"
    tree = ast.parse((path if path.exists() else PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
    return " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())


def layers() -> list[list[str]]:
    """Return the layers of the import contract, from the top."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (found,) = [
        contract["layers"] for contract in project["tool"]["importlinter"]["contracts"] if contract["type"] == "layers"
    ]
    return [line.split(" | ") for line in found]


def layers_table() -> str:
    """Return the table of folders and loose modules, layer by layer."""
    numbered = list(enumerate(reversed(layers()), 1))
    rows = [[str(number), f"`{name}`", purpose(name)] for number, names in reversed(numbered) for name in names]
    return table(["layer", "folder or module", "what is in it"], rows)


TABLES = {"stages": stages_table, "layers": layers_table}


def current(text: str) -> str:
    """Return the page with its tables as the code has them."""
    for name, made in TABLES.items():
        found = re.search(rf"<!-- {name}: [^\n]*? -->\n\n(.*?)<!-- end -->", text, re.DOTALL)
        assert found is not None, f"the page has no place for the table of {name}"
        text = f"{text[: found.start(1)]}{made()}\n\n{text[found.end(1) :]}"
    return text


def test_the_tables_are_in_step_with_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    if os.environ.get("KUBETUNE_TEST_REGENERATE"):
        PAGE.write_text(current(text), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == current(text)


def test_the_layers_are_all_folders() -> None:
    named = {name for names in layers() for name in names}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders <= named and len(folders) > 20
    assert all(purpose(name) for name in named)
    assert not [name for name in named if not Path(PACKAGE, name).is_dir() and not Path(PACKAGE, f"{name}.py").exists()]
