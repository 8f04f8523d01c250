"""Device and precision: what is asked for is what one gets, or an error."""

import pytest
import torch

from cyclegan.device import autocast, choose_device, choose_precision, out_of_memory_explained
from cyclegan.errors import UserError


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("cuda", "mps", "kind"), [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_prefers_cuda_then_mps_then_the_cpu(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, kind: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto").type == kind


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0", "cuda:2", "mps"])
def test_a_device_that_is_not_there_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: wanted == "cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"runtime.device is {wanted} in params.yaml"):
        choose_device(wanted)


def test_a_cuda_device_is_taken_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("wanted", ["float32", "bf16"])
@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_a_stated_precision_is_taken_at_its_word(wanted: str, kind: str) -> None:
    assert choose_precision(wanted, torch.device(kind)) == wanted


@pytest.mark.parametrize("native", [True, False])
def test_auto_precision_on_cuda_asks_the_hardware(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert choose_precision("auto", torch.device("cuda")) == ("bf16" if native else "float32")


@pytest.mark.parametrize("native", [True, False])
def test_auto_precision_on_the_cpu_asks_for_native_instructions(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    """Not whether oneDNN can: without AMX it computes in bf16 too, slower than in float32."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: native)
    assert choose_precision("auto", torch.device("cpu")) == ("bf16" if native else "float32")


def test_auto_precision_elsewhere_is_float32() -> None:
    assert choose_precision("auto", torch.device("mps")) == "float32"


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bf16", torch.bfloat16)])
def test_networks_run_in_the_precision_each_time_the_context_is_entered(precision: str, dtype: torch.dtype) -> None:
    layer, context = torch.nn.Conv2d(1, 1, 1), autocast(precision, torch.device("cpu"))
    for _ in range(2):
        with context:
            assert layer(torch.ones(1, 1, 2, 2)).dtype == dtype
        assert layer(torch.ones(1, 1, 2, 2)).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


SIZES = {"train.batch_size": 4, "preprocess.crop_size": 256}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nadvice"), "CUDA out of memory. Tried to .*"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), ".*DefaultCPUAllocator.*"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), "MPS backend out of memory.*"),
        (MemoryError("Unable to allocate 9 TiB"), "Unable to allocate 9 TiB"),
    ],
)
def test_memory_that_runs_out_is_an_error_that_names_sizes_and_what_to_lower(error: Exception, said: str) -> None:
    advice = (
        r"with train\.batch_size 4 and preprocess\.crop_size 256 in params\.yaml; lower train\.batch_size, then .*crop_size"
    )
    message = rf"^memory ran out \({said}\) {advice}, then model\.ngf"
    with pytest.raises(UserError, match=message) as caught, out_of_memory_explained(SIZES):
        raise error
    assert "\n" not in str(caught.value)


def test_what_else_helps_against_a_lack_of_memory_stands_first() -> None:
    message = r"in params\.yaml; raise train\.accumulate, or lower train\.batch_size"
    with pytest.raises(UserError, match=message), out_of_memory_explained(SIZES, "raise train.accumulate"):
        raise MemoryError


def test_memory_that_really_runs_out_is_explained() -> None:
    with pytest.raises(UserError, match="memory ran out"), out_of_memory_explained(SIZES):
        torch.empty(2**60)


def test_memory_that_runs_out_without_a_word_is_explained_too() -> None:
    with pytest.raises(UserError, match=r"^memory ran out with train\.batch_size 4"), out_of_memory_explained(SIZES):
        raise MemoryError


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), RuntimeError(), UserError("x"), KeyboardInterrupt()])
def test_other_errors_are_left_as_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, out_of_memory_explained(SIZES):
        raise error
    assert caught.value is error
