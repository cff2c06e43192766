"""What a recipe is before it runs: the shipped ones, its errors, its data, its plan."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kubetune.cli.common import AsJson, Overrides, RecipeName, StoreUrl, print_json, print_table, say

if TYPE_CHECKING:
    from kubetune.api.plans import PlannedStage


def recipes(
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


def validate(
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


def data(recipe: RecipeName, overrides: Overrides = None, store: StoreUrl = None, as_json: AsJson = False) -> None:
    """Read a recipe's data and show how its columns, labels, splits and first rows are understood.

    Nothing is kept, and no model is downloaded. Example: `kubetune data tickets data.source.paths.all=mine.csv`.
    """
    from kubetune.api.opening import opened, settings_for
    from kubetune.cli.display import progress_for
    from kubetune.config.load import load_recipe
    from kubetune.execution.preview import preview

    loaded = load_recipe(recipe, overrides or [])
    progress = progress_for()
    uploads = "upload:" in loaded.data.source.model_dump_json()
    try:
        report = preview(loaded, settings_for(store), progress, opened(store, probe=False)[1] if uploads else None)
    finally:
        progress.close()
    if as_json:
        print_json(report)
    else:
        show(report)


def show(report: dict[str, Any]) -> None:
    """Print the report for a person."""
    say(f"data      {report['line']}")
    for sentence in report["said"]:
        say(f"          {sentence}")
    for split, columns in report["columns"].items():
        more = ", …" if len(columns) > 20 else ""
        say(f"columns   {split}: {', '.join(_cut(name, 40) for name in columns[:20])}{more}")
    for reason, found in report["rejects"].items():
        say(f"rejected  {reason} {found['rows']:,}, first {', '.join(found['first'][:3])} (rows counted from 0)")
        for example in found.get("examples", ()):
            say(f"          {example}")
    if report.get("unknown_labels"):
        listed = ", ".join(f"{name!r} {rows:,}" for name, rows in report["unknown_labels"].items())
        say(f"          labels that are not in data.labels: {listed}")
    say()
    splits = list(report["rows"]["splits"])
    labels = report.get("labels", {})
    if labels:
        rows = [[_cut(name, 40), *(f"{counts[split]:,}" for split in splits)] for name, counts in labels.items()]
        print_table(["class", *splits], rows)
        say()
    if "targets" in report:
        found = report["targets"]
        print_table(["split", *found["columns"]], [[split, *found["splits"][split]] for split in splits])
        say()
    print_table(
        ["truth" if "targets" in report else "class", "first rows of train"],
        [[_cut(row["label"], 60), row["text"]] for row in report["preview"]],
    )
    say()
    say(f"not shown {report['left_out']}")


def _cut(text: str, most: int) -> str:
    from kubetune.text.shown import one_line

    return one_line(text, most)


def plan(
    recipe: RecipeName,
    overrides: Overrides = None,
    run: Annotated[str | None, typer.Option("--run", help="Run id; the default is RECIPE-1.")] = None,
    look: Annotated[
        bool, typer.Option("--look", help="Look into the store: which results are there, and why not the others.")
    ] = False,
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Print the stages of a recipe; with --look, what a run would adopt and what it would do again."""
    from kubetune.api.plans import listed_plan, plan_run
    from kubetune.config.load import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    found = plan_run(loaded, run, store=store) if look or store is not None else listed_plan(loaded, run)
    if as_json:
        print_json([stage_json(row) for row in found.stages])
    else:
        print_table(found.headings, found.cells())


def stage_json(row: "PlannedStage") -> dict[str, Any]:
    """Return a stage of a plan as plain JSON values."""
    call = row.call
    looked = {} if row.would is None else {"would": row.would, "why": row.why}
    return {
        "stage": call.stage.name,
        "run": call.run,
        "after": list(call.after),
        "reads": list(call.stage.inputs),
        "writes": list(call.stage.outputs),
        "image": call.stage.image,
        "sections": list(call.stage.sections),
        "effect": call.stage.effect is not None,
    } | looked
