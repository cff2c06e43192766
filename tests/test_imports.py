"""What is light stays light: help, plan and listings never import the heavy stack."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "datasets", "accelerate", "sklearn", "pyarrow", "pandas", "matplotlib", "mlflow")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["plan", "tweets"],
        ["validate", "tweets"],
        ["recipes"],
        ["runs", "--store", "{store}"],
        ["run", "--help"],
        ["tracking", "--help"],
    ],
)
def test_light_commands_import_nothing_heavy(arguments: list[str], tmp_path) -> None:
    program = (
        "import sys\n"
        "from kubetune.cli.app import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as done:\n"
        "    assert not done.code, done.code\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    (tmp_path / "store" / "runs").mkdir(parents=True)
    words = [word.format(store=tmp_path / "store") for word in arguments]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    "module", ["stages.compare", "stages.register", "stages.deploy", "models.effects", "models.register"]
)
def test_what_decides_and_promotes_loads_no_model(module: str) -> None:
    """A comparison with a champion that was evaluated on the same rows takes a tenth of what torch takes to load."""
    program = (
        f"import sys, kubetune.{module}\n"
        "found = {'torch', 'transformers', 'sklearn', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_plan_modules_import_no_store() -> None:
    program = (
        "import sys, kubetune.plan, kubetune.stages, kubetune.contract, kubetune.layout\n"
        "found = [name for name in sys.modules if name.startswith('kubetune.storage') or name == 'minio']\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
