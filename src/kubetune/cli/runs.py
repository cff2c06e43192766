"""`kubetune runs`: all runs of the store."""

from kubetune.cli.common import AsJson, StoreUrl, opened, print_json, print_table


def command(store: StoreUrl = None, as_json: AsJson = False) -> None:
    """List the runs, the newest first."""
    import time
    from dataclasses import asdict

    from kubetune.history import run_lines

    lines = run_lines(opened(store)[1])
    if as_json:
        print_json([asdict(line) for line in lines])
        return
    print_table(
        ["run", "recipe", "state", "accuracy", "macro F1", "last change"],
        [
            [
                line.run,
                line.recipe,
                line.state,
                *(f"{line.metrics[name]:.3f}" if name in line.metrics else "-" for name in ("accuracy", "macro_f1")),
                time.strftime("%Y-%m-%d %H:%M", time.localtime(line.modified)),
            ]
            for line in lines
        ],
    )
