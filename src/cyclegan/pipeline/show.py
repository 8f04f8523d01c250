"""What training is shown: rows of pictures of both domains as a batch holds them, cropped, flipped and unpaired."""

from cyclegan import images
from cyclegan.config import Config
from cyclegan.data.batches import load
from cyclegan.data.store import Store
from cyclegan.levels import to_pixels
from cyclegan.pipeline import paths
from cyclegan.pipeline.pictures import make_loader, make_plan


def show_batch(config: Config, sets: int, columns: int) -> images.Pixels:
    """Draw `sets` times a row of A above a row of B, each of `columns` pictures, as the first steps of training take them.

    Returns:
        uint8 [H, W, 3].

    Raises:
        UserError: there is no prepared data.
    """
    store = Store(paths.PREPARED, verify=False)
    one_a_step = config.model_copy(update={"train": config.train.model_copy(update={"batch_size": 1})})
    plan, loader = make_plan(store, one_a_step), make_loader(store, one_a_step)
    rows: list[images.Pixels] = []
    for first in range(0, sets * columns, columns):
        batches = [load(loader, plan.decisions(step)) for step in range(first, first + columns)]
        for domain in ("real_A", "real_B"):
            rows += [_colour(to_pixels(getattr(batch, domain))[0]) for batch in batches]
    return images.sheet(images.fit(rows), columns)


def _colour(pixels: images.Pixels) -> images.Pixels:
    return pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels
