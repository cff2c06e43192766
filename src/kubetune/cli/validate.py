"""`kubetune validate`: is this recipe right? Every error at once."""

from kubetune.cli.common import AsJson, Overrides, RecipeName, print_json, say


def command(recipe: RecipeName, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Check a recipe; exits 78 and lists all errors if it is wrong."""
    from kubetune.config.load import canonical, load_recipe

    loaded = load_recipe(recipe, overrides or [])
    if as_json:
        print_json(canonical(loaded))
    else:
        say(f"{loaded.name}: the recipe is valid.")
