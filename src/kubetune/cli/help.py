"""The help: headings over the commands, an example a command, groups that list by default."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

HEADINGS = {
    "Recipes": ("init", "recipes", "validate", "data", "plan"),
    "Runs": ("run", "stage", "runs", "show", "open", "why", "compare", "choose", "pull", "export", "delete", "ui"),
    "Models and endpoints": (
        "models", "promote", "rollback", "revoke", "endpoints", "serve", "start", "stop", "predict",
    ),
    "Provenance": ("lineage", "verify", "signing-key"),
    "Cluster": ("login", "submit", "follow", "logs", "cancel"),
    "Store and operation": ("store", "gc", "tracking", "check", "endpoint-key", "fetch-archive", "gateway"),
}  # fmt: skip

EXAMPLES = {
    "init": "kubetune init my.csv --label queue",
    "recipes": "kubetune recipes tickets",
    "validate": "kubetune validate mine.yaml training.epochs=2",
    "data": "kubetune data mine.yaml",
    "plan": "kubetune plan tweets",
    "run": "kubetune run mine.yaml training.epochs=2 --until evaluate",
    "stage": "kubetune stage train --run tweets-1",
    "runs": "kubetune runs --json",
    "show": "kubetune show tweets-1",
    "open": "kubetune open tweets-1 --print",
    "why": "kubetune why tweets-2 train",
    "lineage": "kubetune lineage tweets@champion",
    "verify": "kubetune verify tweets-1 --key signer.pub",
    "compare": "kubetune compare tweets-1 tweets-2",
    "choose": "kubetune choose sweep tweets-1 tweets-2",
    "pull": "kubetune pull tweets-1 dataset --to out",
    "export": "kubetune export tweets-1 --hf folder",
    "serve": "kubetune serve tweets-1 --port 8085",
    "predict": 'kubetune predict "I like it" --endpoint tweets',
    "start": "kubetune start tweets",
    "stop": "kubetune stop tweets",
    "promote": 'kubetune promote tweets@3 --why "reads irony better"',
    "rollback": 'kubetune rollback tweets --why "answers complaints wrongly"',
    "revoke": 'kubetune revoke tweets@2 --why "was trained on private rows"',
    "delete": "kubetune delete 'try-*' tweets-1 --yes",
    "gc": "kubetune gc --dry-run",
    "ui": "kubetune ui --port 5000",
    "login": "kubetune login --airflow-url http://airflow.example.com",
    "submit": "kubetune submit mine.yaml --data my.csv",
    "follow": "kubetune follow tweets-1",
    "logs": "kubetune logs tweets-1 train",
    "cancel": "kubetune cancel tweets-1",
    "signing-key": "kubetune signing-key signer",
    "fetch-archive": "kubetune fetch-archive --endpoint tweets --into archives",
    "gateway": "kubetune gateway --endpoint tweets --archives archives",
    "endpoint-key new": "kubetune endpoint-key new ada",
    "check store": "kubetune check store",
    "check airflow": "kubetune check airflow --dag finetune",
    "check endpoint": "kubetune check endpoint http://127.0.0.1:8080/predictions/tweets",
    "check recipes": "kubetune check recipes",
    "endpoints list": "kubetune endpoints --json",
    "endpoints delete": "kubetune endpoints delete try --yes",
    "models list": "kubetune models tweets",
    "models delete": "kubetune models delete try --yes",
    "store bootstrap": "kubetune store bootstrap --users keys --generate all",
    "store use": "kubetune store use ~/kubetune-store",
    "store promotion": "kubetune store promotion policies.yaml",
    "store policies": "kubetune store policies --to folder",
    "store backup": "kubetune store backup /backup/kubetune",
    "store restore": "kubetune store restore /backup/kubetune --store restored",
    "tracking sync": "kubetune tracking sync --run tweets-1",
    "tracking rebuild": "kubetune tracking rebuild",
    "tracking status": "kubetune tracking status --json",
}
"""Command → its example; words that a person has to replace are names that look like examples."""


def epilog(command: str) -> str | None:
    """Return what stands below a command's options; None: it has no example."""
    return f"\b\nExample:\n  {EXAMPLES[command]}" if command in EXAMPLES else None


def with_examples(group: typer.Typer, name: str) -> typer.Typer:
    """Give each command of a group its example."""
    for info in group.registered_commands:
        called = info.name or (info.callback.__name__.replace("_", "-") if info.callback else "")
        info.epilog = epilog(f"{name} {called}")
    return group


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
