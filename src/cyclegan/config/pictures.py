"""The sections of params.yaml that say which pictures there are, and in what form: models as in `sections`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cyclegan.config.sections import Section
from cyclegan.config.values import (
    Address,
    Byte,
    Count,
    Drawn,
    Place,
    Size,
    Text,
    Value,
)


class DatasetConfig(Section):
    name: Literal[
        "openmoji",
        "shapes",
        "earth",
        "folder",
        "table",
        "celeba",
        "apple2orange",
        "cezanne2photo",
        "facades",
        "horse2zebra",
        "iphone2dslr_flower",
        "maps",
        "monet2photo",
        "summer2winter_yosemite",
        "ukiyoe2photo",
        "vangogh2photo",
    ]
    image_size: Annotated[int, Field(ge=16, le=1024)]
    n_train: Drawn | None
    n_test: Drawn
    n_val: Annotated[int, Field(ge=0, le=1_000_000, description="0 draws no validation pairs")]
    path: Annotated[Place, Field(description="a folder of pictures")]
    table: Annotated[Place, Field(description="a file below dataset.path")]
    table_file_column: Text | None
    table_column: Text
    table_A: Annotated[list[Value], Field(min_length=1, description="a list such as [1]")]
    table_B: Annotated[list[Value], Field(min_length=1, description="a list such as [-1]")]
    limit: Count | None
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    val_fraction: Annotated[float, Field(ge=0, lt=1, description="0 holds no validation pictures out")]
    paired_test: bool
    url: Annotated[Address | None, Field(description="an http, https or file address")]
    sha256: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$", description="64 hexadecimal digits in lower case")]
    on_bad_image: Literal["error", "skip"]
    on_leak: Literal["report", "error"]

    @property
    def drawn(self) -> bool:
        """Whether the pictures are drawn or cut here, as many as asked for."""
        return self.name in ("openmoji", "shapes", "earth")

    @model_validator(mode="after")
    def validation_pictures_come_from_one_place(self) -> "DatasetConfig":
        if self.drawn and self.n_val > 0 and self.val_fraction > 0:
            raise ValueError(
                f"n_val is {self.n_val} and val_fraction is {self.val_fraction}, but validation pictures are either drawn "
                f"or held out of training; set val_fraction to 0, or n_val to 0"
            )
        return self


class PreprocessConfig(Section):
    direction: Literal["AtoB", "BtoA"]
    mode: Literal[
        "resize_and_crop",
        "crop",
        "scale_width",
        "scale_width_and_crop",
        "scale_shortside",
        "scale_shortside_and_crop",
        "none",
    ]
    load_size: Size
    crop_size: Size
    flip: bool
    min_side: Count
    background: Annotated[list[Byte], Field(min_length=3, max_length=3, description="red, green, blue in 0..255")]
    reference_set: bool

    @property
    def crops(self) -> bool:
        """Whether training uses random squares of crop_size, or whole pictures."""
        return self.mode.endswith("crop")

    @model_validator(mode="after")
    def sizes_agree(self) -> "PreprocessConfig":
        if self.mode in ("crop", "none"):  # load_size is not used
            return self
        if self.crop_size > self.load_size:
            raise ValueError(
                f"crop_size is {self.crop_size} and load_size is {self.load_size}; a crop cannot be larger than the "
                f"picture it is cut from: lower crop_size or raise load_size"
            )
        if not self.crops and self.load_size % 4 != 0:
            raise ValueError(
                f"load_size is {self.load_size} in mode {self.mode}, which trains on whole pictures; the generators halve "
                f"them twice: make load_size a multiple of 4"
            )
        return self
