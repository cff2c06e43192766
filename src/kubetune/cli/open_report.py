"""`kubetune open RUN`: the report of a run in a browser."""

from typing import Annotated

import typer

from kubetune.cli.common import RunName, StoreUrl, note, opened, say


def command(
    run: RunName,
    only_print: Annotated[bool, typer.Option("--print", help="Print where the page lies, open nothing.")] = False,
    store: StoreUrl = None,
) -> None:
    """Open a run's report in a browser; without a display, print where the page lies."""
    import webbrowser

    from kubetune.cli.report import write_report
    from kubetune.config.environment import is_set

    page = write_report(opened(store)[1], run).resolve()
    say(str(page))
    if only_print:
        return
    # Without a display, Python would start a browser of text in this terminal.
    shown = is_set("DISPLAY", "WAYLAND_DISPLAY", "BROWSER") or platform_has_browser()
    if not (shown and webbrowser.open(page.as_uri())):
        note("There is no browser here: open the page above, or copy it, it needs no other file.")


def platform_has_browser() -> bool:
    """Whether this system opens pages without a display variable."""
    import sys

    return sys.platform in {"darwin", "win32"}
