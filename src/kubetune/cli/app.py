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
    stop,
    store,
    submit,
    tracking,
    validate,
    verify,
    why,
)
from kubetune.errors import KubetuneError, NothingToDoError
from kubetune.redaction import redact
from kubetune.version import installed

app = typer.Typer(
    name="kubetune",
    help="Fine-tune a Hugging Face text model, from real data to a served prediction that can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for module in (
    recipes, validate, data, plan, run, stage, runs, show, why, lineage, verify, compare, choose, pull, export, serve,
    endpoints, predict, stop, models, promote, rollback, revoke, delete, gc, login, submit, follow, logs, cancel,
):  # fmt: skip
    app.command(module.__name__.rpartition(".")[2])(module.command)

for module in (signing_key, fetch_archive, gateway):  # the last two are what the containers of a serving pod run
    app.command(module.__name__.rpartition(".")[2].replace("_", "-"))(module.command)
app.add_typer(check.app, name="check")
app.add_typer(store.app, name="store")
app.add_typer(endpoint_key.app, name="endpoint-key")
app.add_typer(tracking.app, name="tracking")


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
        app(standalone_mode=True)
    except KubetuneError as error:
        leave(str(error), error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has left: nobody is there to be told
        sys.exit(0)
    except Exception as error:  # a bug of ours: show where, then say it in one line
        sys.stderr.write(redact(traceback.format_exc()))
        leave(f"Unexpected {type(error).__name__}: {error}; please report it with the trace above.", 70)
    sys.exit(0)


def leave(reason: str, code: int) -> NoReturn:
    """Say the reason in one line, on standard error and where Kubernetes looks for it, and exit."""
    from kubetune.config.settings import load_settings

    line = redact(" ".join(reason.split()))
    print(f"kubetune: {line}", file=sys.stderr, flush=True)  # noqa: T201
    try:
        log = load_settings().termination_log
        decided = code == NothingToDoError.exit_code and log.exists() and log.read_text(encoding="utf-8") != ""
        if log.exists() and not decided:  # the decision that was left there says more
            log.write_text(f"exit={code} {line}"[:4000], encoding="utf-8")
    except (KubetuneError, OSError):
        pass  # the reason has been printed; a missing pod file must not replace the exit code
    sys.exit(code)
