"""The command `kubetune`: registers the commands and turns errors into one sentence and an exit code."""

import sys
import traceback
from typing import Annotated, NoReturn

import typer

from kubetune.cli import (
    cancel,
    check,
    choose,
    compare,
    data,
    delete,
    endpoint_key,
    endpoints,
    export,
    fetch_archive,
    follow,
    gateway,
    gc,
    lineage,
    login,
    logs,
    models,
    open_report,
    plan,
    predict,
    promote,
    pull,
    recipes,
    revoke,
    rollback,
    run,
    runs,
    serve,
    show,
    signing_key,
    stage,
    start,
    stop,
    store,
    submit,
    tracking,
    ui,
    validate,
    verify,
    why,
)
from kubetune.cli.common import leave
from kubetune.cli.examples import HEADINGS, epilog, with_examples
from kubetune.cli.groups import Grouped
from kubetune.config.version import installed
from kubetune.errors import KubetuneError
from kubetune.redaction import redact


class Commands(Grouped):
    """The commands under their headings."""

    headings = HEADINGS


app = typer.Typer(
    name="kubetune",
    cls=Commands,
    help="Fine-tune a Hugging Face text model, from real data to a served prediction that can be trusted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for module in (
    recipes, validate, data, plan, run, stage, runs, show, open_report, why, lineage, verify, compare, choose, pull,
    export, serve, predict, start, stop, promote, rollback, revoke, delete, gc, ui, login, submit, follow, logs, cancel,
    signing_key, fetch_archive, gateway,  # the last two are what the containers of a serving pod run
):  # fmt: skip
    name = module.__name__.rpartition(".")[2].removesuffix("_report").replace("_", "-")
    app.command(name, epilog=epilog(name))(module.command)
for group in (check, endpoint_key, endpoints, models, store, tracking):
    name = group.__name__.rpartition(".")[2].replace("_", "-")
    app.add_typer(with_examples(group.app, name), name=name)


def version(value: bool) -> None:
    """Print the version and leave."""
    if value:
        print(installed())  # noqa: T201
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Fine-tune a Hugging Face text model, from real data to a served prediction that can be trusted."""


def main() -> NoReturn:
    """Run the command line. The last line on standard error is the reason of a failure."""
    try:
        app(standalone_mode=True, prog_name="kubetune")
    except KubetuneError as error:
        leave(str(error), error.exit_code, type(error).__name__)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left: nobody is there to be told
        sys.exit(0)
    except Exception as error:  # a bug of ours: show where, then say it in one line
        sys.stderr.write(redact(traceback.format_exc()))
        leave(f"Unexpected {type(error).__name__}: {error}; please report it with the trace above.", 70)
    sys.exit(0)
