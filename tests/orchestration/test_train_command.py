"""The very command of a `train` pod, run here: as many ranks as the pod asks for, or none at all."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import toys
from kubetune.config.cluster import ClusterSettings
from kubetune.execution.run import open_configured_store
from kubetune.orchestration.pods import stage_pod
from kubetune.plan import call_of
from kubetune.storage.base import Store
from kubetune.storage.commits import read_commit
from pipelines import run_plan, settings_of, toy_recipe

pytestmark = pytest.mark.slow
ONE_RANK = """
import os, sys
if "kubetune.training.rank" in sys.orig_argv:  # what a launcher does that starts fewer processes than it was asked for
    import torch.distributed
    torch.distributed.init_process_group = lambda **world: None
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        os.environ.pop(name, None)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> tuple[Any, Path, Store]:
    """A store in which everything before `train` is done for run `two`."""
    folder = tmp_path_factory.mktemp("train-command")
    data = toys.write_jsonl(folder / "rows.jsonl", toys.toy_rows(120))
    settings = settings_of(folder)
    store = open_configured_store(settings)
    recipe = toy_recipe(data, toy_model, ["resources.train.processes=2", "training.epochs=1"])
    run_plan(recipe, "two", store, settings, until="prepare")
    return recipe, folder, store


def run_pod(
    recipe: Any, run: str, folder: Path, **more: str
) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """Run the command of the pod's container with the pod's environment; return the pod and what came of it."""
    cluster = ClusterSettings.model_validate(
        {
            "release": "kubetune",
            "namespace": "kubetune",
            "images": {"tag": "0.1.0"},
            "store": {"url": str(folder / "store"), "endpoint": ""},
            "serving": {"namespace": "kubetune", "release": "kubetune"},
            "accounts": {"default": "kubetune-stage"},
            "secrets": {},
        }
    )
    pod = stage_pod(call_of("train", recipe, run), cluster)
    (container,) = pod["spec"]["containers"]
    environment = {item["name"]: item.get("value", "uid") for item in container["env"]}
    environment |= {"HOME": str(folder), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **more}
    command = [sys.executable, "-m", "kubetune", *(word.replace("$$(", "$(") for word in container["args"])]
    return pod, subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)


def test_a_pod_with_two_processes_trains_on_two_ranks(prepared: tuple[Any, Path, Store]) -> None:
    recipe, folder, store = prepared
    pod, done = run_pod(recipe, "two", folder)
    assert done.returncode == 0, done.stderr
    committed = read_commit(store, "two", "train")
    assert committed is not None
    assert committed.fingerprint["world_size"] == 2
    mounts = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
    assert "/dev/shm" in mounts, "a container's own has 64 MiB"


def test_a_launcher_that_starts_one_rank_ends_the_stage_with_78(
    prepared: tuple[Any, Path, Store], tmp_path: Path
) -> None:
    recipe, folder, store = prepared
    other = recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": 1})})
    (tmp_path / "sitecustomize.py").write_text(ONE_RANK, encoding="utf-8")
    settings = settings_of(folder)
    run_plan(other, "forced", store, settings, until="prepare")
    _, done = run_pod(other, "forced", folder, PYTHONPATH=str(tmp_path))
    assert done.returncode == 78, done.stderr
    assert "2 ranks on cpu were asked for, 1 on cpu were started" in done.stderr.strip().splitlines()[-1]
    assert read_commit(store, "forced", "train") is None
