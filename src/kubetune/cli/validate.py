"""`kubetune validate`: is this recipe right, and can this machine run it? Every error at once."""

from typing import Annotated

import typer

from kubetune.cli.common import AsJson, Overrides, RecipeName, print_json, say


def command(
    recipe: RecipeName,
    overrides: Overrides = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="It is for a cluster: do not ask whether this machine has its GPUs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a recipe; exits 78 and lists all errors if it is wrong, or asks for more than this machine has."""
    from kubetune.config.load import canonical, load_recipe
    from kubetune.execution.machine import require

    loaded = load_recipe(recipe, overrides or [])
    if not cluster:
        require(loaded)
    if as_json:
        print_json(canonical(loaded))
    else:
        say(f"{loaded.name}: the recipe is valid{'' if cluster else ', and this machine has what it asks for'}.")
