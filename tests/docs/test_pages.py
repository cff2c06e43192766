"""What the pages point at is there: links, headings, files of the package, settings; pictures are small."""

import re
from pathlib import Path

import pytest
import yaml

from docs.pages import FENCE, PAGES, ROOT, spans
from kubetune.config.load import recipe_of, shipped_recipes
from kubetune.config.settings import Settings

LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)(#[^)\s]+)?\)")
PACKAGE = ROOT / "src" / "kubetune"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{path} is not there"
        assert not anchor or anchor in anchors(target), f"{target.name} has no heading {anchor}"


def test_each_page_is_reached_from_the_readme() -> None:
    linked = {path for path, _ in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert {f"docs/{page.name}" for page in PAGES if page.parent != ROOT} <= linked
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 110


def test_the_page_for_extenders_names_files_that_are_there() -> None:
    named = [span for span in spans(ROOT / "docs" / "extending.md") if "/" in span and not set(span) & set("<> ")]
    assert len(named) > 20
    gone = [name for name in named if not (ROOT / name).exists() and not (PACKAGE / name).exists()]
    assert not gone, f"no such file or folder: {gone}"


def test_every_setting_is_on_its_page() -> None:
    rows = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines()
    named = {name for row in rows for name in re.findall(r"`KUBETUNE_([A-Z0-9_]+)`", row.split(" | ")[0])}
    assert named == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", ["recipes.md", "data.md"])
def test_recipes_of_a_page_are_recipes(name: str) -> None:
    """A block with some sections only stands for changes of the recipe `tickets`."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        recipe_of({**yaml.safe_load(shipped_recipes()["tickets"]), **yaml.safe_load(block)}, name)


def test_pictures_are_small() -> None:
    pictures = sorted((ROOT / "docs" / "images").glob("*.png"))
    assert len(pictures) >= 3
    assert all(path.stat().st_size <= 150_000 for path in pictures)
