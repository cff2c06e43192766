"""`kubetune recipes`: the shipped recipes, or the text of one."""

from typing import Annotated

import typer

from kubetune.cli.common import AsJson, print_json, print_table, say


def command(
    name: Annotated[str | None, typer.Argument(help="Print this recipe's YAML, to copy and change.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the shipped recipes, or print one to start from."""
    from kubetune.config.load import canonical, load_recipe, shipped_recipes

    if name is not None:
        recipe = load_recipe(name)
        if as_json:
            print_json(canonical(recipe))
        else:
            shipped = shipped_recipes()
            say(shipped[name].rstrip() if name in shipped else "")
        return
    found = [load_recipe(item) for item in shipped_recipes()]
    if as_json:
        print_json([{"name": recipe.name, "description": recipe.description} for recipe in found])
    else:
        print_table(["recipe", "what it does"], [[recipe.name, recipe.description] for recipe in found])
