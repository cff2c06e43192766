"""bf16 from instructions."""

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
