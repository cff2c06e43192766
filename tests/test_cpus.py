"""Threads from quotas, and how they wait for each other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kubetune.config import cpus


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))


@pytest.mark.parametrize(("quota", "threads"), [("250000 100000", 2), ("50000 100000", 1), ("max 100000", 16)])
def test_version_2(tmp_path: Path, quota: str, threads: int) -> None:
    group(tmp_path, cpu__max=quota)
    (tmp_path / "self").write_text("0::/\n")
    assert cpus.cpu_quota_threads(tmp_path, tmp_path / "self") == threads


@pytest.mark.parametrize(("quota", "threads"), [("400000", 4), ("-1", 16)])
def test_version_1(tmp_path: Path, quota: str, threads: int) -> None:
    group(tmp_path / "cpu", **{"cpu__cfs_quota_us": f"{quota}\n", "cpu__cfs_period_us": "100000\n"})
    assert cpus.cpu_quota_threads(tmp_path, tmp_path / "absent") == threads


def test_the_least_of_all_groups_above_counts(tmp_path: Path) -> None:
    group(tmp_path / "pods" / "one", cpu__max="800000 100000")
    group(tmp_path / "pods", cpu__max="300000 100000")
    (tmp_path / "self").write_text("0::/pods/one\n")
    assert cpus.cpu_quota_threads(tmp_path, tmp_path / "self") == 3


def test_a_group_of_version_1_with_its_own_path(tmp_path: Path) -> None:
    values = {"cpu__cfs_quota_us": "500000", "cpu__cfs_period_us": "100000"}
    group(tmp_path / "cpu,cpuacct" / "docker" / "abc", **values)
    (tmp_path / "self").write_text("5:cpu,cpuacct:/docker/abc\n3:memory:/other\n")
    assert cpus.cpu_quota_threads(tmp_path, tmp_path / "self") == 5


def test_without_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert cpus.cpu_quota_threads(tmp_path, tmp_path / "absent") == 16


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize(
    ("runnable", "quota", "spins"),
    [("1/76", "max 100000", True), ("2/76", "max 100000", False), ("9/76", "800000 100000", True)],
    ids=["alone", "somebody computes", "the rest of the machine is enough for them"],
)
def test_threads_spin_only_where_the_cpus_are_theirs(tmp_path: Path, runnable: str, quota: str, *, spins: bool) -> None:
    (tmp_path / "loadavg").write_text(f"0.10 0.20 0.30 {runnable} 4711\n")
    group(tmp_path, cpu__max=quota)
    found = cpus.thread_waiting(cpus.cpu_quota_threads(tmp_path, tmp_path / "absent"), processes=tmp_path)
    assert (found["GOMP_SPINCOUNT"] != "0") is spins


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize(
    ("nice", "state", "spins"), [(10, "R", True), (0, "R", False), (-5, "R", False), (10, "S", False)]
)
def test_who_gives_way_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nice: int, state: str, *, spins: bool
) -> None:
    monkeypatch.setattr(os, "nice", lambda step: step)
    (tmp_path / "loadavg").write_text("0.10 0.20 0.30 2/76 4711\n")
    fields = f"{state} 1 12 12 0 -1 4194304 9 0 0 0 1 0 0 0 20 {nice} 1 0 5000 0 0"
    group(tmp_path / "12", stat=f"12 (a ) R 0) {fields}\n")
    group(tmp_path / "12" / "task" / "12", stat=f"12 (a ) R 0) {fields}\n")
    assert (cpus.thread_waiting(16, processes=tmp_path)["GOMP_SPINCOUNT"] != "0") is spins


@pytest.mark.usefixtures("unset")
def test_a_process_that_ends_between_two_looks_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder of threads is gone when it is listed, as `/proc` does it: a stage failed by that."""
    (tmp_path / "loadavg").write_text("0.10 0.20 0.30 1/76 4711\n")
    group(tmp_path / "12", stat="12 (a) R 1 12 12 0 -1 4194304 9 0 0 0 1 0 0 0 20 10 1 0 5000 0 0\n")
    looked = Path.glob

    def gone(self: Path, pattern: str) -> object:
        if pattern.startswith("task"):
            raise FileNotFoundError(2, "No such file or directory", str(self / "task"))
        return looked(self, pattern)

    monkeypatch.setattr(Path, "glob", gone)
    assert cpus.thread_waiting(16, processes=tmp_path)["GOMP_SPINCOUNT"] != "0"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")
def test_a_real_process_that_gives_way_is_seen() -> None:
    body = "import os, sys; os.nice(3); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", body]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as niced:
        assert niced.stdout is not None
        niced.stdout.readline()
        found = [stat.parts[2] for stat in cpus._giving_way(cpus.PROCESSES)]
        niced.communicate()
    assert str(niced.pid) in found
    assert str(os.getpid()) not in found


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize("content", [None, "", "0.1 0.2 0.3 many/76 1"])
def test_where_nobody_knows_they_sleep(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "loadavg").write_text(content)
    assert cpus.thread_waiting(1, processes=tmp_path)["GOMP_SPINCOUNT"] == "0"


def test_what_a_person_has_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert cpus.thread_waiting(1) == {}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch's wheels bring libgomp on Linux only")
def test_pytorch_reads_it() -> None:
    given = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": cpus.SPINS, "OMP_DISPLAY_ENV": "VERBOSE"}
    command = [sys.executable, "-c", "import torch"]
    said = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=True).stderr
    assert f"GOMP_SPINCOUNT = '{cpus.SPINS}'" in said
