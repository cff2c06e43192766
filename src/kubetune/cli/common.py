"""Options that several commands share, and the store they name."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from kubetune.api.opening import opened
from kubetune.errors import KubetuneError, NothingToDoError
from kubetune.redaction import redact

if TYPE_CHECKING:
    from kubetune.config.settings import Settings
    from kubetune.plan import ManualOverride


def recipe_names(incomplete: str) -> list[str]:
    """Return shipped recipes and YAML files here, for the shell's completion."""
    from kubetune.config.load import shipped_recipes

    files = [str(path) for path in Path().glob(f"{incomplete}*.yaml")] if "*" not in incomplete else []
    return [name for name in shipped_recipes() if name.startswith(incomplete)] + sorted(files)


def run_names(incomplete: str) -> list[str]:
    """Return runs of the store at hand, for the shell's completion; none where it cannot be asked."""
    from kubetune.storage.runs import list_runs

    try:
        return [item.run for item in list_runs(opened(None, probe=False)[1]) if item.run.startswith(incomplete)]
    except KubetuneError:
        return []


RecipeName = Annotated[
    str,
    typer.Argument(help="A shipped recipe (`kubetune recipes`) or a YAML file.", autocompletion=recipe_names),
]
RunName = Annotated[str, typer.Argument(help="A run, as listed by `kubetune runs`.", autocompletion=run_names)]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Changes to the recipe; values are YAML.")
]
StoreUrl = Annotated[
    str | None,
    typer.Option("--store", help="A folder or s3://bucket/prefix. [env: KUBETUNE_STORE]", show_default=False),
]
Request = Annotated[
    str,
    typer.Option(
        "--request", help="Identity of this request: with an equal one it is never made twice. [default: noted here]"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; an error too, as one object.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
EndpointOfRun = Annotated[
    str | None, typer.Option("--endpoint", help="Model that the statement has to name; default: the run's recipe's.")
]


def override_of(by: str | None, why: str | None, request: str = "") -> "ManualOverride | None":
    """Return what a person said, or None if nobody did; who it is defaults to the user of this machine.

    Raises:
        ConfigError: The reason is empty or not one line, or holds a secret.
    """
    from kubetune.errors import ConfigError
    from kubetune.plan import ManualOverride
    from kubetune.redaction import secret_in

    for option, text in (("--why", why), ("--by", by)):
        if text is not None and (not text.strip() or len(text) > 500 or not text.isprintable()):
            raise ConfigError(f"{option} has to be one line of 1 to 500 printable characters: say it in a sentence.")
        if text is not None and (kind := secret_in(text)) is not None:
            raise ConfigError(f"{option} holds {kind} and is kept beside the change: leave that out.")
    if by is None and why is None:
        return None
    return ManualOverride(by or user_name(), why or "", request)


def user_name() -> str:
    """Return the name of the user of this machine."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


class Printed:
    """What this process has printed: a second JSON document would make the first one unreadable."""

    json = False


def print_json(value: Any) -> None:
    """Print JSON on standard output."""
    Printed.json = True
    json.dump(value, sys.stdout, indent=2, sort_keys=True, ensure_ascii=False)
    sys.stdout.write("\n")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn in a terminal, aligned plain text elsewhere, so that it can be cut and searched."""
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            table.add_row(*(cell.replace("[", "\\[") for cell in row))
        Console().print(table)
        return
    widths = [max(len(row[index]) for row in [headings, *rows]) for index in range(len(headings))]
    for row in [headings, *rows]:
        sys.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def say(line: str = "") -> None:
    """Print one plain line on standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def agreed(question: str, yes: bool) -> bool:
    """Return whether a person agrees; `--yes` says so beforehand.

    Raises:
        ConfigError: Nobody is there to ask.
    """
    from kubetune.errors import ConfigError

    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody is at this terminal to answer: say it with --yes.")
    if typer.confirm(question):
        return True
    say("Nothing was deleted.")
    return False


def note(line: str = "") -> None:
    """Print one plain line on standard error, where it does not stand in the way of JSON."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def failure(error: Exception | None) -> dict[str, Any]:
    """Return exit code and sentence of an error as JSON has them; None: nothing failed."""
    return {"code": 0 if error is None else getattr(error, "exit_code", 70), "sentence": str(error or "")}


def program() -> str:
    """Return how this command is called here, so that what we advise can be copied: it need not be on the PATH."""
    import shlex
    import shutil

    if shutil.which("kubetune") is not None:
        return "kubetune"
    if Path(sys.argv[0]).name == "kubetune":
        return shlex.quote(sys.argv[0])
    return shlex.join([sys.executable, "-m", "kubetune"])


def option_for(settings: "Settings") -> list[str]:
    """Return `--store …` where the store at hand would not be found again from this folder; else nothing."""
    from kubetune.config.settings import load_settings
    from kubetune.tracking.target import store_folder

    found = load_settings().store
    folder = store_folder(found)
    same = found == settings.store or (folder is not None and folder == store_folder(settings.store))
    return [] if same else ["--store", settings.store]


def next_lines(settings: "Settings", *commands: Sequence[str], show: Any = None) -> None:
    """Print commands that a person may want next, one a line, each of which works as it is printed.

    Args:
        settings: Whose store the commands act on.
        commands: Words of each after `kubetune`.
        show: Prints a line; None: on standard output.
    """
    import shlex

    first = program()
    for number, words in enumerate(commands):
        (show or say)(f"{'next' if number == 0 else '':<10}{first} {shlex.join([*words, *option_for(settings)])}")


def leave(reason: str, code: int, kind: str = "Error") -> NoReturn:
    """Say the reason in one line, on standard error and where Kubernetes looks for it, and exit.

    A command that was asked for JSON prints it as JSON too, unless it has printed a document already.
    """
    from kubetune.config.settings import load_settings

    line = redact(" ".join(reason.split()))
    if "--json" in sys.argv[1:] and not Printed.json:
        print_json({"code": code, "error": kind, "sentence": line})
    print(f"kubetune: {line}", file=sys.stderr, flush=True)  # noqa: T201
    try:
        log = load_settings().termination_log
        decided = code == NothingToDoError.exit_code and log.exists() and log.read_text(encoding="utf-8") != ""
        if log.exists() and not decided:  # the decision that was left there says more
            log.write_text(f"exit={code} {line}"[:4000], encoding="utf-8")
    except (KubetuneError, OSError):
        pass  # the reason has been printed; a missing pod file must not replace the exit code
    sys.exit(code)
