"""The key of a stage: a digest of everything its result depends on. Equal keys make a skip sound.

A key is the hash of named fields, and the fields are committed beside it, so that `kubetune why` can say which one
made a stage run again.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from kubetune.config.load import canonical
from kubetune.config.recipe import Recipe
from kubetune.config.task_columns import TASK_COLUMNS, task_name
from kubetune.stages import Stage

PACKAGE = "kubetune"
ROOT = Path(__file__).parent
# The table is data about stages: what it says of this stage (sections, inputs, packages) is in the key already, and
# what it says of others must not be. The package's own module only says where public names live.
NOT_CODE = frozenset({"kubetune", "kubetune.stages"})


def key_fields(
    stage: Stage, recipe: Recipe, inputs: Mapping[str, str], identity: str | None = None, root: Path | None = None
) -> dict[str, str]:
    """Return the named fields that decide a stage's result.

    Args:
        stage: Row of the stage table.
        recipe: The resolved recipe; only the stage's sections enter.
        inputs: Artifact name → digest of its file list.
        identity: What the outside thing is, for a stage that reaches outside; None where it has none.
        root: Folder of the package's source; None: where this module lies.
    """
    fields = {"stage": stage.name, "python": ".".join(map(str, sys.version_info[:2]))}
    document = canonical(recipe)
    for path in stage.sections:
        fields |= dict(_flatten(f"recipe.{path}", at(document, path)))
    fields |= {f"input.{name}": digest for name, digest in inputs.items()}
    fields |= {f"code.{module}": digest for module, digest in code_digests(stage, document, root or ROOT).items()}
    fields |= {f"package.{name}": installed_version(name) for name in stage.packages}
    if stage.reaches_outside:
        fields["identity"] = identity or "none"
    return fields


def key_of(fields: Mapping[str, str]) -> str:
    """Return the key: SHA-256 (hex) over the canonical JSON of the fields."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def at(document: Any, path: str) -> Any:
    """Return the value at a dotted path, or None where the path ends early."""
    for part in path.split("."):
        if not isinstance(document, Mapping) or part not in document:
            return None
        document = document[part]
    return document


def installed_version(distribution: str) -> str:
    """Return the installed version, or `absent`."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"


def code_digests(stage: Stage, document: Mapping[str, Any], root: Path = ROOT) -> dict[str, str]:
    """Return module (or data file) → digest for all code that the stage's body can reach.

    Args:
        stage: Row of the stage table.
        document: The canonical recipe; it says which task and source are chosen.
        root: Folder of the package's source.
    """
    start = [stage.entry.partition(":")[0]]
    name = str(task_name(at(document, "task")))
    taken = TASK_COLUMNS.get(name)
    follows = {"task.name": name} | ({} if taken is None else {"task.target_type": taken.target_type})
    for package, path in stage.chosen:
        value = follows.get(path) or at(document, path)
        if isinstance(value, str):
            start.append(f"{package}.{value.replace('-', '_')}")
    found: dict[str, str] = {}
    waiting = start
    while waiting:
        module = waiting.pop()
        source = _source_of(module, root)
        if module in found or module in NOT_CODE or source is None:
            continue
        digest, imports = _read_module(source, module, root, source.stat().st_mtime_ns)
        found[module] = digest
        waiting.extend(imports)
    for folder in {_source_of(module, root).parent for module in found}:  # type: ignore[union-attr]
        if folder != root:
            found |= _data_files(folder, root)
    return dict(sorted(found.items()))


def _data_files(folder: Path, root: Path) -> dict[str, str]:
    return {
        f"data:{path.relative_to(root).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix not in {".py", ".pyc", ".typed"}
    }


def _source_of(module: str, root: Path) -> Path | None:
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    base = root.joinpath(*parts[1:])
    if (base / "__init__.py").is_file():
        return base / "__init__.py"
    source = base.with_suffix(".py") if parts[1:] else None
    return source if source is not None and source.is_file() else None


@lru_cache(maxsize=1024)
def _read_module(source: Path, module: str, root: Path, _modified: int) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a module's meaning, and the modules of ours that it names.

    `_modified` only separates cache entries of an edited file.
    """
    package = module if source.name == "__init__.py" else module.rpartition(".")[0]
    digest, names = _meaning(source.read_bytes(), package)
    return digest, tuple(name for name in names if _source_of(name, root) is not None)


@lru_cache(maxsize=1024)
def _meaning(text: bytes, package: str) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a source without its words, and all it names; parsed once, wherever a copy of it lies."""
    bare = _WithoutWords().visit(ast.parse(text))
    digest = hashlib.sha256(ast.dump(bare, include_attributes=False).encode()).hexdigest()
    names = set(_named_modules(bare, package))
    for name in list(names):  # importing a.b.c runs a and a.b first
        names |= {name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1)}
    return digest, tuple(sorted(name for name in names if name.partition(".")[0] == PACKAGE))


def _named_modules(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                base = f"{above}.{base}" if base else above
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{PACKAGE}."):
            yield node.value.partition(":")[0]  # `python -m kubetune.x` and the like


class _WithoutWords(ast.NodeTransformer):
    """Drops docstrings and what only a type checker reads; comments are no part of a syntax tree at all."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        test = node.test
        name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
        if name == "TYPE_CHECKING":
            return [item for child in node.orelse for item in _as_list(self.visit(child))]
        return self.generic_visit(node)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, child in value.items():
            yield from _flatten(f"{prefix}.{name}", child)
    else:
        yield prefix, json.dumps(value, sort_keys=True)
