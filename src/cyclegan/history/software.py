"""The packages here against those that a commit locked."""

import re
from collections.abc import Callable, Mapping
from importlib import metadata

PINNED = re.compile(r"([A-Za-z0-9][\w.-]*)==([^\s;#]+)")


def locked(requirements: bytes | None) -> dict[str, str]:
    """The versions that a requirements.lock pins, by package."""
    lines = (requirements or b"").decode(errors="replace").splitlines()
    return {match[1]: match[2] for match in map(PINNED.match, lines) if match}


def installed(name: str) -> str | None:
    """The version of a package here; None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def differences(pins: Mapping[str, str], version_of: Callable[[str], str | None] = installed) -> list[str]:
    """The packages that are here in another version than pinned. Those that are not here cannot change a result.

    The build of a version (torch 2.15.0+cpu) is no other version: what it computes on is told elsewhere.
    """
    here = {name: version_of(name) for name in pins}
    return [
        f"{name} {there} locked, {version} here"
        for name, there in pins.items()
        if (version := here[name]) is not None and version.partition("+")[0] != there.partition("+")[0]
    ]
