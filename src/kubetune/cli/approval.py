"""The person in front of the terminal of `kubetune run`: told of each stage, and asked where a recipe wants it."""

import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from kubetune.cli.common import say, user_name

if TYPE_CHECKING:
    from kubetune.notifications.walks import Tell
    from kubetune.plan import StageCall


class Terminal:
    """The person in front of this terminal.

    Attributes:
        tell: Called after each stage.
        store: Store of the command line; advice has to name it again. None: the settings' one.
        show: Prints a line.
    """

    def __init__(self, tell: "Tell", store: str | None = None, show: Callable[[str], None] = say) -> None:
        self.tell, self.store, self.show = tell, store, show

    def approve(self, call: "StageCall") -> "StageCall":
        """Ask; whoever answers is recorded as the one who approved.

        Raises:
            NothingToDoError: The answer was no.
            ConfigError: Nobody is there to ask, or the input ended without an answer.
        """
        from dataclasses import replace
        from uuid import uuid4

        from kubetune.errors import ConfigError, NothingToDoError
        from kubetune.plan import Word

        if not sys.stdin.isatty():
            raise ConfigError(self.advice(call, "nobody is at this terminal"))
        self.show(
            f"{call.stage.name:<10}needs your approval: the run passed its thresholds, its comparison said promote."
        )
        try:
            agreed = typer.confirm(
                f"Register run {call.run} and let it serve {call.endpoint}?", err=self.show is not say
            )
        except typer.Abort as error:  # the end of the input is no answer, neither yes nor no
            raise ConfigError(self.advice(call, "the input ended without an answer")) from error
        if not agreed:
            raise NothingToDoError(f"Run {call.run} was not approved by {user_name()}: nothing was changed.")
        # Should the registry's answer be lost, its repetition is known by this; asked anew, it is another approval.
        return replace(call, word=Word(user_name(), request=uuid4().hex))

    def advice(self, call: "StageCall", why: str) -> str:
        """Say how to approve from elsewhere, by a command that acts on this very store and endpoint."""
        words = ["kubetune", "stage", call.stage.name, "--run", call.run]
        words += ["--endpoint", call.endpoint] if call.endpoint != call.recipe.name else []
        words += ["--store", self.store] if self.store is not None else []
        return (
            f"Stage {call.stage.name} of run {call.run} needs a person's approval and {why}: `{shlex.join(words)} "
            f"--by NAME` gives it, then repeat this `kubetune run` with `--run {call.run}`."
        )
