"""Health of four networks in training: faults that good losses hide, measured on a few real pictures.

Every measure compares with the real pictures themselves, so that thresholds do not depend on the data's scale. A value is
left out where it is not defined. docs/health.md says what each one was on real trainings.
"""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cyclegan import randomness
from cyclegan.levels import to_tensor, to_uint8
from cyclegan.models.networks import Networks, evaluating

NOISE = 0.02  # deviation of the mild noise on [-1, 1]: 2.5 of 255 levels, which the eye does not see
COLOURED = 0.03  # a domain has colours where its pictures' chroma deviates by this, on [-1, 1]: about 4 of 255 levels
FLAT = 0.001  # a product of deviations below this one's square leaves nothing to correlate

Values = dict[str, float]  # by what a check was made of and its name: A_to_B/copying, D_A/judged_right


@dataclass(frozen=True)
class Probe:
    """What health is measured with: the same pictures and the same noise every time, on the networks' device.

    Attributes:
        real_A, real_B: training pictures, float32 [N, C, H, W] in [-1, 1], all of one height and width.
        noise_A, noise_B: what is added to translations into A and into B, normal of deviation `NOISE`.
        batch_size: how many pictures go through a network at once.
        per_picture: whether a discriminator's scores are averaged over each picture (`loss.score_per: picture`).
    """

    real_A: Tensor
    real_B: Tensor
    noise_A: Tensor
    noise_B: Tensor
    batch_size: int
    per_picture: bool

    @staticmethod
    def of(real_A: Tensor, real_B: Tensor, seed: int, batch_size: int, *, per_picture: bool = False) -> "Probe":
        """Pictures with noise that depends on the seed and on their sizes alone."""
        return Probe(
            real_A,
            real_B,
            _noise(seed, "health/A", real_B, real_A.shape[1]),
            _noise(seed, "health/B", real_A, real_B.shape[1]),
            batch_size,
            per_picture,
        )


def measure(networks: Networks, probe: Probe, precision: AbstractContextManager[None]) -> Values:
    """All values that are defined; the networks are then as before, and no random state is touched.

    Of each direction, as A_to_B/NAME: `colour_agreement`, `copying`, `output_variance`, `hidden_information`; of each
    discriminator, as D_A/NAME: `judged_right`. A value is NaN only where a network's outputs are not finite.
    """
    G_AB, G_BA, D_A, D_B = networks.G_AB, networks.G_BA, networks.D_A, networks.D_B
    real_A, real_B = probe.real_A, probe.real_B
    with evaluating(G_AB, G_BA, D_A, D_B), precision:
        fake_B, rec_A, dimmed_A = _cycle(G_AB, G_BA, real_A, probe.noise_B, probe.batch_size)
        fake_A, rec_B, dimmed_B = _cycle(G_BA, G_AB, real_B, probe.noise_A, probe.batch_size)
        scores_A = [_through(D_A, pictures, probe.batch_size).cpu() for pictures in (real_A, fake_A)]
        scores_B = [_through(D_B, pictures, probe.batch_size).cpu() for pictures in (real_B, fake_B)]
    values = _of_direction("A_to_B", real_A.cpu(), real_B.cpu(), fake_B.cpu(), rec_A.cpu(), dimmed_A.cpu())
    values |= _of_direction("B_to_A", real_B.cpu(), real_A.cpu(), fake_A.cpu(), rec_B.cpu(), dimmed_B.cpu())
    for name, (real, fake) in {"D_A": scores_A, "D_B": scores_B}.items():
        values[f"{name}/judged_right"] = judged_right(real, fake, per_picture=probe.per_picture)
    return {name: value for name, value in values.items() if value is not None}


def _of_direction(
    direction: str, real: Tensor, target: Tensor, fake: Tensor, rec: Tensor, dimmed: Tensor
) -> dict[str, float | None]:
    values = {
        "colour_agreement": colour_agreement(real, fake, target),
        "copying": copying(real, fake, target),
        "output_variance": output_variance(fake, target),
        "hidden_information": hidden_information(real, rec, dimmed),
    }
    finite = all(bool(pictures.isfinite().all()) for pictures in (fake, rec, dimmed))
    return {f"{direction}/{name}": value if finite else math.nan for name, value in values.items()}


def colour_agreement(real: Tensor, fake: Tensor, target: Tensor) -> float | None:
    """Correlation of colours at the same place in input and output, in [-1, 1]; bad: below -0.25.

    Of chroma (the two colour differences of ITU-R BT.601, a vector) where both domains have colours, else of luminance.
    Brightness may well change sign where colours do not: of sea and land, the darker is not the same in a photograph and on
    a map, but the sea is the bluer in both. Each pixel is compared with the mean over all pictures, not over its own, so
    that pictures of one colour count too. Inverted colours are the best known wrong optimum of unpaired translation
    (github.com/junyanz/pytorch-CycleGAN-and-pix2pix, issues 91 and 1301): every loss is as good there.

    Args:
        real, fake: inputs and outputs, [N, C, H, W] and [N, C', H, W].
        target: real pictures of the outputs' domain.

    Returns:
        None where inputs or outputs are all of one colour.
    """
    coloured = all(pictures.shape[1] == 3 and _deviation(_chroma(pictures)) >= COLOURED for pictures in (real, target))
    one, other = (_centred(_chroma(pictures) if coloured else _luminance(pictures)) for pictures in (real, fake))
    scale = float((one.square().mean() * other.square().mean()).sqrt())
    return float((one * other).mean()) / scale if scale > FLAT**2 else None


def copying(real: Tensor, fake: Tensor, target: Tensor) -> float | None:
    """Distance of outputs from their inputs as a share of that of inputs from real outputs, >= 0; bad: below 0.05.

    0 is a copy; 1 is as far as a picture of the one domain lies from any picture of the other. Distances are L1; where the
    domains have other numbers of channels, the input as it looks in the output's: grey as three equal channels, colours by
    their luminance.

    Returns:
        None where both domains hold one and the same picture.
    """
    copy = _in_channels_of(real, fake)
    return _share(_l1(fake, copy), float(_between(copy, target).mean()))


def output_variance(fake: Tensor, target: Tensor) -> float | None:
    """Mean L1 between two outputs as a share of that between two real pictures of their domain, >= 0; bad: below 0.2.

    0 is one output whatever the input, mode collapse (Goodfellow 2016, section 5.1); about 1 is as varied as real pictures.
    Pictures of little variety have translations of little variety, so that less than 1 is no fault by itself.

    Returns:
        None for fewer than two pictures, or where all real ones are equal.
    """
    return _share(_spread(fake), _spread(target))


def hidden_information(real: Tensor, rec: Tensor, dimmed: Tensor) -> float | None:
    """What the cycle loses when its intermediate picture is rounded to 8 bits and gets mild noise; bad: above 0.05.

    Mean square error of the cycle with them less that without, as a share of the mean square difference of two real
    pictures. About 0 is an honest way back, which reads what can be seen; 1 is as bad as if another picture came back: what
    was read had been hidden, as in Chu et al. 2017 ("CycleGAN, a Master of Steganography"). It can be below 0 by chance.
    Squares, because to them an honest generator adds the noise itself alone, however small the error is without it.

    Args:
        real: inputs x [N, C, H, W].
        rec: G_back(G(x)).
        dimmed: G_back of G(x) rounded to 8 bits, plus noise of deviation 0.02 on [-1, 1].

    Returns:
        None for fewer than two pictures, or where all are equal.
    """
    apart = 2 * float(real.double().var(0).mean()) if len(real) > 1 else 0.0  # two pictures, squared
    return _share(_mse(dimmed, real) - _mse(rec, real), apart)


def judged_right(real: Tensor, fake: Tensor, *, per_picture: bool) -> float:
    """Share of pairs, of a score of real and one of translated, of which the real one is higher; bad: above 0.998.

    In [0, 1]: 0.5 is a discriminator that cannot tell them apart, 1 one that is never deceived. It is the area under the
    ROC curve (Mann and Whitney 1947) and needs no threshold on scores, so that it means the same under lsgan, vanilla,
    hinge and wgangp. Under wgangp a high value is no fault: a critic is to be trained towards its optimum, and its
    gradient is held up by the penalty (Gulrajani et al. 2017).

    Args:
        real, fake: scores [N, 1, h, w], higher for what is taken for real.
        per_picture: compare the means of pictures instead of single scores.
    """
    one, other = (scores.mean((1, 2, 3)) if per_picture else scores.flatten() for scores in (real, fake))
    if not (one.isfinite().all() and other.isfinite().all()):
        return math.nan
    ordered = other.sort().values
    lower, not_higher = (torch.searchsorted(ordered, one, right=right).double().mean() for right in (False, True))
    return float((lower + not_higher) / 2 / len(ordered))


def _cycle(
    forth: nn.Module, back: nn.Module, real: Tensor, noise: Tensor, batch_size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Translations, the way back from them, and that from them as 8 bits and noise leave them."""
    fake = _through(forth, real, batch_size)
    dimmed = to_tensor(to_uint8(fake)) + noise
    return fake, _through(back, fake, batch_size), _through(back, dimmed, batch_size)


def _through(network: nn.Module, pictures: Tensor, batch_size: int) -> Tensor:
    return torch.cat([network(part).float() for part in torch.split(pictures, batch_size)])


def _noise(seed: int, stream: str, source: Tensor, channels: int) -> Tensor:
    """For translations of `source` into pictures of so many channels."""
    shape = (len(source), channels, *source.shape[2:])
    drawn = randomness.generator(seed, stream).standard_normal(shape, dtype="float32")
    return NOISE * torch.from_numpy(drawn).to(source.device)


def _luminance(pictures: Tensor) -> Tensor:
    """[N, 3 or 1, H, W] -> [N, 1, H, W], as ITU-R BT.601 weighs red, green and blue."""
    if pictures.shape[1] == 1:
        return pictures
    return 0.299 * pictures[:, :1] + 0.587 * pictures[:, 1:2] + 0.114 * pictures[:, 2:]


def _chroma(pictures: Tensor) -> Tensor:
    """[N, 3, H, W] -> [N, 2, H, W]: how much bluer and how much redder than grey."""
    luminance = _luminance(pictures)
    return torch.cat([0.564 * (pictures[:, 2:] - luminance), 0.713 * (pictures[:, :1] - luminance)], dim=1)


def _centred(colours: Tensor) -> Tensor:
    return colours.double() - colours.double().mean((0, 2, 3), keepdim=True)


def _deviation(colours: Tensor) -> float:
    return float(_centred(colours).square().mean().sqrt())


def _in_channels_of(pictures: Tensor, other: Tensor) -> Tensor:
    channels = other.shape[1]
    if pictures.shape[1] == channels:
        return pictures
    return _luminance(pictures) if channels == 1 else pictures.expand(-1, channels, -1, -1)


def _l1(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().double().mean())


def _mse(one: Tensor, other: Tensor) -> float:
    return float((one - other).double().square().mean())


def _between(one: Tensor, other: Tensor) -> Tensor:
    """Mean L1 between each of N pictures and each of M: [N, M]."""
    return torch.cdist(one.flatten(1).double(), other.flatten(1).double(), p=1) / one[0].numel()


def _spread(pictures: Tensor) -> float:
    """Mean L1 between two different ones of N pictures; 0 for one."""
    count = len(pictures)
    return float(_between(pictures, pictures).sum()) / max(count * (count - 1), 1)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
