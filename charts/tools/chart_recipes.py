"""Write `files/recipes.json`: what the chart must know of recipes to check `recipes.inline` and `airflow.schedules`."""

import json
import sys

from chart_helm import CHART

from kubetune.config.load import shipped_recipes
from kubetune.config.recipe import Recipe

TARGET = CHART / "files" / "recipes.json"


def text() -> str:
    """Return the file's text: names of shipped recipes, all sections of a recipe, and those that it must have."""
    required = [name for name, field in Recipe.model_fields.items() if field.is_required()]
    known = {"shipped": sorted(shipped_recipes()), "sections": sorted(Recipe.model_fields), "required": required}
    return json.dumps(known, indent=1) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv and TARGET.read_text(encoding="utf-8") != text():
        sys.exit("files/recipes.json is not what the package says: run `make manifests`.")
    TARGET.write_text(text(), encoding="utf-8")
