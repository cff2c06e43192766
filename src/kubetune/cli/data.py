"""`kubetune data RECIPE`: what becomes of the rows, before any model is downloaded."""

from typing import Any

from kubetune.cli.common import AsJson, Overrides, RecipeName, StoreUrl, print_json, print_table, say


def command(recipe: RecipeName, overrides: Overrides = None, store: StoreUrl = None, as_json: AsJson = False) -> None:
    """Read a recipe's data and show how its columns, labels, splits and first rows are understood.

    Nothing is kept, and no model is downloaded. Example: `kubetune data tickets data.source.paths.all=mine.csv`.
    """
    from kubetune.cli.common import opened, settings_for
    from kubetune.cli.progress import progress_for
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
    if report["unknown_labels"]:
        listed = ", ".join(f"{name!r} {rows:,}" for name, rows in report["unknown_labels"].items())
        say(f"          labels that are not in data.labels: {listed}")
    say()
    splits = list(report["rows"]["splits"])
    rows = [[_cut(name, 40), *(f"{counts[split]:,}" for split in splits)] for name, counts in report["labels"].items()]
    print_table(["class", *splits], rows)
    say()
    print_table(["class", "first rows of train"], [[_cut(row["label"], 24), row["text"]] for row in report["preview"]])
    say()
    say(f"not shown {report['left_out']}")


def _cut(text: str, most: int) -> str:
    from kubetune.data.shown import one_line

    return one_line(text, most)
