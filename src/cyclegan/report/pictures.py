"""Pictures as text that a page can hold."""

import base64
import io

import numpy as np
from PIL import Image

from cyclegan import images
from cyclegan.images import Pixels

MOST_SIDE = 256  # px; larger pictures are reduced to it
MOST_PNG = 24 << 10  # bytes; where a PNG takes more, JPEG without subsampling of colours
QUALITY = 85
ENLARGED = 160  # px: pictures below are shown larger than they are, pixel by pixel


def data_uri(pixels: Pixels) -> str:
    """uint8 [H, W, C] as a data URI: PNG where that is small, else JPEG; the bytes depend on the pixels alone."""
    scale = MOST_SIDE / max(pixels.shape[:2])
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        pixels = images.resize(pixels, height, width)
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    kind, data = "png", _encoded(image, format="PNG", optimize=True)
    if len(data) > MOST_PNG:
        kind, data = "jpeg", _encoded(image, format="JPEG", quality=QUALITY, subsampling=0)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _encoded(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)  # type: ignore[arg-type]
    return buffer.getvalue()
