"""The sizes of pictures that networks need."""

from cyclegan.config.sections import ModelConfig

STRIDES = {"resnet_6blocks": 4, "resnet_9blocks": 4, "unet_128": 128, "unet_256": 256}  # netG: sides are multiples, in px


def smallest_translated(architecture: str) -> int:
    """Side of the smallest square, in px, that a generator of this `netG` can translate.

    Padding by reflection, in a resnet, needs two rows of features.
    """
    stride = STRIDES[architecture]
    return stride if architecture.startswith("unet") else 2 * stride


def smallest_side(model: ModelConfig) -> int:
    """Side of the smallest square, in px, that all four networks can take."""
    return max(smallest_translated(model.netG), smallest_judged(model))


def smallest_judged(model: ModelConfig) -> int:
    """Side of the smallest square, in px, that the discriminators can judge."""
    match model.netD:
        case "pixel":
            return 1
        case "same_size":
            return 16
        case "basic":
            return 24
        case "n_layers":
            return 3 * (1 << model.n_layers_D)
