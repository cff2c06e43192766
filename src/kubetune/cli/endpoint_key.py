"""`kubetune endpoint-key new NAME`: a key for an endpoint, shown once."""

from typing import Annotated

import typer

from kubetune.cli.common import AsJson, print_json, say

app = typer.Typer(no_args_is_help=True, help="API keys of endpoints in a cluster.", rich_markup_mode=None)


@app.callback()
def group() -> None:
    """API keys of endpoints in a cluster."""


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is; several names make keys revocable one by one.")],
    as_json: AsJson = False,
) -> None:
    """Draw a key and print it once, with the line for the endpoint's Secret. Nothing is stored."""
    from kubetune.serving.gateway.keys import new_key

    key, line = new_key(name)
    if as_json:
        print_json({"key": key, "line": line})
        return
    say(f"key:  {key}")
    say(f"line: {line}")
    say("The key is shown this once. The line goes into the Secret's entry `keys`; removing it revokes the key.")
