"""The command `kubetune`: registers the commands and turns errors into one sentence and an exit code."""

import sys
import traceback
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from kubetune.cli import (
    check,
    cluster,
    endpoints,
    init,
    logs,
    models,
    promote,
    provenance,
    recipes,
    run,
    runs,
    serving,
    store,
    tracking,
)
from kubetune.cli.common import leave
from kubetune.cli.help import HEADINGS, Grouped, epilog, with_examples
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

COMMANDS: dict[str, Callable[..., None]] = {
    "init": init.init,
    "recipes": recipes.recipes,
    "validate": recipes.validate,
    "data": recipes.data,
    "plan": recipes.plan,
    "run": run.run,
    "stage": run.stage,
    "runs": runs.runs,
    "show": runs.show,
    "open": runs.open_run,
    "why": runs.why,
    "lineage": provenance.lineage,
    "verify": provenance.verify,
    "compare": runs.compare,
    "choose": run.choose,
    "pull": runs.pull,
    "export": serving.export,
    "serve": serving.serve,
    "predict": endpoints.predict,
    "start": endpoints.start,
    "stop": endpoints.stop,
    "promote": promote.promote,
    "rollback": promote.rollback,
    "revoke": provenance.revoke,
    "delete": runs.delete,
    "gc": store.gc,
    "ui": tracking.ui,
    "login": cluster.login,
    "submit": cluster.submit,
    "follow": cluster.follow,
    "logs": logs.logs,
    "cancel": cluster.cancel,
    "signing-key": provenance.signing_key,
    "fetch-archive": serving.fetch_archive,
    "gateway": serving.gateway,
}  # the last two are what the containers of a serving pod run
GROUPS = {
    "check": check.app,
    "endpoint-key": serving.app,
    "endpoints": endpoints.app,
    "models": models.app,
    "store": store.app,
    "tracking": tracking.app,
}

for name, command in COMMANDS.items():
    app.command(name, epilog=epilog(name))(command)
for name, group in GROUPS.items():
    app.add_typer(with_examples(group, name), name=name)


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
