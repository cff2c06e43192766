"""The house's own rules that no linter knows: sizes, names, words; a broken one is named by its rule."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "kubetune"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
LOOSE = {"__init__", "__main__", "clock", "contract", "errors", "keys", "layout", "plan", "redaction"}

# Noun files that are one thing, and commands whose options are their length.
LONG_FILES = {"storage/users.py": 310, "storage/registry.py": 310, "tasks/base.py": 320}  # the last: one seam
LONG_FUNCTIONS = {
    "bootstrap_users", "copy_store", "execute_plan", "promote", "register", "rollback", "stage", "try_model", "verify",
}  # fmt: skip

# One implementation a module, called by the module's name.
PROTOCOLS = {
    "kubetune/stages": {"run"},
    "kubetune/data/sources": {"identify", "read"},
    "kubetune/data/models": {"identify", "fetch", "locate"},
    "kubetune/tasks/baselines": {"baselines"},
    "kubetune/serving/protocols": {"read_request", "write_answer", "write_refusal"},
}
PROGRAMS = {"main"}
READ = {".json", ".md", ".py", ".sh", ".tpl", ".txt", ".yaml", ""}

# house rule: the field's words, not ours. Each with what to write.
WORDS = {
    r"\b(un)?wish(es|ed)?\b": "desired state",
    r"\b(un)?crowned\b": "set_champion, demote",
    r"\bprecious\b": "required",
    r"\bpatient ?pool\b": "retrying pool",
    r"\bhopeless\b": "unrecoverable",
    r"\bcarve[sd]?\b": "stratified group split",
    r"\brate factor\b": "learning-rate multiplier",
    r"\bwithout words\b": "docstring-free",
    r"\btaken for hung\b": "heartbeat timeout",
    r"\bwalker\b": "executor",
    r"\bstrangers?\b": "unlisted files",
    r"\bstruck\b": "killed",
    r"\bstolen\b": "steal time",
    r"\bsuspects\b": "quarantine",
    r"\bgive way to ours?\b": "CPU contention",
    r"\b(written|put|writes?|files?|folder) aside\b": "staging directory",
    r"\b(told|said) of (a|the) (run|task|stage)\b": "notification",
}
# house rule: these are no names of a variable, a parameter or an attribute.
IDENTIFIERS = {
    "aside": "staging", "crowned": "champion", "patience_pool": "retrying_pool", "precious": "required",
    "room": "rendezvous", "silent": "elapsed", "strangers": "unlisted", "suspects": "quarantine", "wish": "desired",
}  # fmt: skip


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_a_file_is_at_most_300_lines() -> None:
    long = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    over = {name: lines for name, lines in long.items() if lines > LONG_FILES.get(name, 300)}
    assert not over, f"split by noun, or say in this test why it is one: {over}"
    assert len(FILES) > 200


def test_a_function_is_at_most_50_lines() -> None:
    over = {
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno >= 50
        and node.name not in LONG_FUNCTIONS
    }
    assert not over, f"a function over 50 lines wants splitting: {over}"


def test_only_the_pure_core_is_loose() -> None:
    loose = {path.stem for path in PACKAGE.glob("*.py")}
    assert loose == LOOSE, f"a module belongs into a folder, unless it is of the pure core: {loose ^ LOOSE}"


def test_a_public_name_has_one_home() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path, tree in TREES.items():
        folder = path.parent.relative_to(PACKAGE.parent).as_posix()
        if folder == "kubetune/cli":  # a command is named as it is typed
            continue
        for node in tree.body:
            named = isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            if named and node.name[0] != "_" and node.name not in PROTOCOLS.get(folder, set()) | PROGRAMS:
                homes[node.name].append(name_of(path))
    twice = {name: paths for name, paths in homes.items() if len(paths) > 1}
    assert not twice, f"a public name is defined once in the package: {twice}"


def texts() -> list[Path]:
    """Return the files whose words people read: code, docs, chart, DAGs, images and benchmarks."""
    found = [*FILES, ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for folder, kinds in (("dags", "*.py"), ("benchmarks", "*.py"), ("images", "*"), ("charts", "*")):
        known = (path for path in (ROOT / folder).rglob(kinds) if path.suffix in READ and path.is_file())
        found += [path for path in known if "__pycache__" not in path.parts and path.name != "LICENSE"]
    return found


@pytest.mark.parametrize("word", WORDS)
def test_words_are_the_fields(word: str) -> None:
    places = texts()
    folders = {path.relative_to(ROOT).parts[0] for path in places}
    assert folders >= {"src", "docs", "charts", "dags", "images", "benchmarks"} and len(places) > 400
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in places
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(word, line, re.IGNORECASE)
    ]
    assert not found, f"write {WORDS[word]!r}: {found}"


def test_names_are_the_fields() -> None:
    found = {
        f"{name_of(path)}:{node.lineno} {name}: write {IDENTIFIERS[name]!r}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Name, ast.arg, ast.Attribute))
        and (name := getattr(node, "id", None) or getattr(node, "arg", None) or getattr(node, "attr", ""))
        in IDENTIFIERS
    }
    assert not found, f"a name is the field's word: {found}"


def test_nothing_outside_of_tasks_asks_which_kind_it_has() -> None:
    """The names of the kinds stand with the tasks, and in the recipe's tables; stages ask the task itself."""
    kinds = {"text-classification", "pair-classification", "token-classification", "question-answering"}
    kinds |= {"fill-mask", "feature-extraction", "feature-extraction-scored-pairs", "zero-shot-classification"}
    asked = {
        f"{name_of(path)}:{node.lineno}"
        for path, tree in TREES.items()
        if name_of(path).partition("/")[0] not in {"tasks", "config"}
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in kinds
    }
    assert not asked, f"ask the task for what it does, not for its kind: {sorted(asked)}"
