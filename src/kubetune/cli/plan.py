"""`kubetune plan`: what would run, in which order, reading and writing what. Touches nothing."""

from typing import Annotated

import typer

from kubetune.cli.common import AsJson, Overrides, RecipeName, print_json, print_table


def command(
    recipe: RecipeName,
    overrides: Overrides = None,
    run: Annotated[str | None, typer.Option("--run", help="Run id; the default is RECIPE-1.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the stages of a recipe."""
    from kubetune.config.load import load_recipe
    from kubetune.plan import plan

    loaded = load_recipe(recipe, overrides or [])
    calls = plan(loaded, run or f"{loaded.name}-1")
    if as_json:
        print_json(
            [
                {
                    "stage": call.stage.name,
                    "run": call.run,
                    "after": list(call.after),
                    "reads": list(call.stage.inputs),
                    "writes": list(call.stage.outputs),
                    "image": call.stage.image,
                    "sections": list(call.stage.sections),
                    "effect": call.stage.effect is not None,
                }
                for call in calls
            ]
        )
        return
    print_table(
        ["stage", "after", "reads", "writes", "does"],
        [
            [
                call.stage.name,
                " ".join(call.after) or "-",
                " ".join(call.stage.inputs) or "-",
                " ".join(call.stage.outputs) or "-",
                call.stage.does,
            ]
            for call in calls
        ],
    )
