"""bf16 from instructions."""

from pathlib import Path

import pytest
import torch

from kubetune.tasks import hardware


@pytest.mark.parametrize(("flags", "native"), [({"avx512_bf16"}, True), ({"amx_bf16"}, True), ({"avx512f"}, False)])
def test_bf16_needs_its_instruction(monkeypatch: pytest.MonkeyPatch, flags: set[str], native: bool) -> None:
    monkeypatch.setattr(hardware, "_cpu_flag", lambda name: name in flags)
    assert hardware.native_bf16("cpu") is native
    assert hardware.native_bf16(torch.device("cpu")) is native


@pytest.mark.parametrize(("capability", "native"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_bf16_needs_its_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], native: bool) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert hardware.native_bf16("cuda") is native


@pytest.mark.parametrize(
    ("cpuinfo", "vendor"),
    [
        ("processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: x\nflags\t\t: fpu avx2\n", "AuthenticAMD"),
        ("processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: avx512f avx512_bf16\n", "GenuineIntel"),
        ("processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n", "0x41"),
        ("", "arm64"),
        (None, "arm64"),
    ],
)
def test_the_vendor_of_the_cpu(
    cpuinfo: str | None, vendor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert hardware.cpu_vendor() == vendor
    assert hardware.native_bf16("cpu") is ("avx512_bf16" in (cpuinfo or ""))


def test_the_mode_of_the_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = "  - Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 2\n  - BLAS_INFO=mkl, LAPACK_INFO=mkl"
    monkeypatch.setattr("torch.__config__.show", lambda: shown)
    monkeypatch.delenv("MKL_CBWR", raising=False)
    assert hardware.blas_mode() == "mkl 2024.2, MKL_CBWR=not set"
    monkeypatch.setenv("MKL_CBWR", "AUTO,STRICT")
    assert hardware.blas_mode() == "mkl 2024.2, MKL_CBWR=AUTO,STRICT"
    monkeypatch.setattr("torch.__config__.show", lambda: "  - Build settings: BLAS_INFO=open, BUILD_TYPE=Release")
    assert hardware.blas_mode() == "open"
    monkeypatch.setattr("torch.__config__.show", lambda: "PyTorch built with:")
    assert hardware.blas_mode() == "unknown"
