"""Threads from quotas, bf16 from instructions."""

import os
from pathlib import Path

import pytest
import torch

from kubetune.tasks import hardware


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
    assert hardware.cpu_quota_threads(tmp_path, tmp_path / "self") == threads


@pytest.mark.parametrize(("quota", "threads"), [("400000", 4), ("-1", 16)])
def test_version_1(tmp_path: Path, quota: str, threads: int) -> None:
    group(tmp_path / "cpu", **{"cpu__cfs_quota_us": f"{quota}\n", "cpu__cfs_period_us": "100000\n"})
    assert hardware.cpu_quota_threads(tmp_path, tmp_path / "absent") == threads


def test_the_least_of_all_groups_above_counts(tmp_path: Path) -> None:
    group(tmp_path / "pods" / "one", cpu__max="800000 100000")
    group(tmp_path / "pods", cpu__max="300000 100000")
    (tmp_path / "self").write_text("0::/pods/one\n")
    assert hardware.cpu_quota_threads(tmp_path, tmp_path / "self") == 3


def test_a_group_of_version_1_with_its_own_path(tmp_path: Path) -> None:
    values = {"cpu__cfs_quota_us": "500000", "cpu__cfs_period_us": "100000"}
    group(tmp_path / "cpu,cpuacct" / "docker" / "abc", **values)
    (tmp_path / "self").write_text("5:cpu,cpuacct:/docker/abc\n3:memory:/other\n")
    assert hardware.cpu_quota_threads(tmp_path, tmp_path / "self") == 5


def test_without_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert hardware.cpu_quota_threads(tmp_path, tmp_path / "absent") == 16


@pytest.mark.parametrize(("flags", "native"), [({"avx512_bf16"}, True), ({"amx_bf16"}, True), ({"avx512f"}, False)])
def test_bf16_needs_its_instruction(monkeypatch: pytest.MonkeyPatch, flags: set[str], native: bool) -> None:
    monkeypatch.setattr(hardware, "_cpu_flag", lambda name: name in flags)
    assert hardware.native_bf16("cpu") is native
    assert hardware.native_bf16(torch.device("cpu")) is native


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bf16_needs_its_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], native: bool) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert hardware.native_bf16("cuda") is native
