"""How the command groups look: headings over commands, and a noun that lists where no verb follows."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typer.core import TyperGroup

LONGEST = 200
"""Characters of a command's line: its whole first sentence, folded by the terminal's width."""


class ListsByDefault(TyperGroup):
    """A group in which `models` and `models NAME` mean `models list …`, as they did before it had verbs."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` in front where no command of the group is named."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


class Grouped(TyperGroup):
    """A group whose help has headings."""

    headings: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section a heading; a command that no heading names stands under the last one."""
        named = {name for names in self.headings.values() for name in names}
        rest = [name for name in self.list_commands(ctx) if name not in named]
        sections = list(self.headings.items())
        for heading, names in [*sections[:-1], *[(title, [*own, *rest]) for title, own in sections[-1:]]]:
            found = [(name, self.commands[name]) for name in names if name in self.commands]
            rows = [(name, command.get_short_help_str(LONGEST)) for name, command in found if not command.hidden]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
