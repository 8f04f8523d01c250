"""The kinds of values that params.yaml holds, each with its bounds: beyond them a value can only be a mistake."""

import os
import reprlib
import unicodedata
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, PlainValidator

WIDEST = 1024  # channels of a first convolution; the inner ones have eight times as many

Name = TypeVar("Name", bound=str)

Size = Annotated[int, Field(ge=4, le=16384)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Drawn = Annotated[int, Field(ge=1, le=1_000_000, description="pictures that are drawn")]
Width = Annotated[int, Field(ge=1, le=WIDEST, description="64 in the paper")]
Batch = Annotated[int, Field(ge=1, le=65_536, description="pictures at a time")]
Epochs = Annotated[int, Field(ge=0, le=1_000_000, description="100 in the paper")]
Weight = Annotated[float, Field(ge=0, le=1e6, description="0 switches the term off")]
Byte = Annotated[int, Field(ge=0, le=255)]
Channels = Annotated[Literal[1, 3], Field(description="1 greyscale, 3 colour")]


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 2, 80, 80

    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002 - reprlib asks for it
        """Python itself refuses to spell numbers of thousands of digits."""
        return repr(x) if x.bit_length() <= 256 else f"a number of about {round(x.bit_length() * 0.30103):,} digits"


shown = _Brief().repr  # a value as an error prints it, of whatever size and depth it is


def plain(text: str) -> str:
    """Text without control characters, which no name of a thing holds."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise ValueError(f"{shown(text)} holds control characters; write it without them")
    return text


def distinct(names: list[Name]) -> list[Name]:
    """A list that names nothing twice."""
    if len(set(names)) < len(names):
        raise ValueError(f"{shown(names)} names something twice; once is enough")
    return names


def place(text: str) -> str:
    """A path that a file or folder in the project, or beside it, can have."""
    if any(len(part.encode()) > 255 for part in Path(text).parts):
        raise ValueError(f"{shown(text)} has a part of more than 255 bytes, which no file can have as its name; shorten it")
    if Path(os.path.normpath(text)).name in ("", ".."):
        raise ValueError(f"{shown(text)} is this project's folder, or one around it; name what lies in it")
    return text


def _as_written(value: object) -> str | int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(
            f"{shown(value)} is neither text nor a whole number; write it as the table spells it, in quotes if need be"
        )
    if isinstance(value, int) and abs(value) >= 1 << 63:
        raise ValueError(f"{shown(value)} is more than a table's numbers can be; write it in quotes if it is text")
    return plain(value) if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(plain)]
Place = Annotated[Text, AfterValidator(place)]
Address = Annotated[str, Field(pattern="^(https?|file)://.", max_length=1000), AfterValidator(plain)]
Value = Annotated[str | int, PlainValidator(_as_written)]
