"""Files over HTTP: streamed to disk, continued where a connection broke, led nowhere unsafe."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from cyclegan.errors import UserError

CHUNK = 1 << 20  # bytes
ATTEMPTS = 5  # connections in a row that may fail without bringing PROGRESS bytes beyond the farthest so far
PROGRESS = 1 << 16  # bytes; a connection that brings fewer in SLOW_SECONDS is no better than a broken one
SLOW_SECONDS = 60.0
REDIRECTS = 5  # in a row
SAFER = {"http": ("http", "https"), "https": ("https",)}  # where an address may lead on

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if known


def fetch(address: str, target: Path, size: int | None, progress: Progress, wait_seconds: float = 1.0) -> None:
    """Stream `address` to `target`, continuing a part that an earlier connection left in `target`.part.

    A connection that breaks, stalls for 30 s or trickles is opened again where it stopped, after a pause that starts at
    `wait_seconds` and doubles. `target` appears only when it is whole.

    Raises:
        UserError: the server refuses, sends a web page or leads elsewhere than to http(s), `ATTEMPTS` connections in a row
            bring next to nothing, the size is not `size` bytes, or the disk is full.
    """
    part = target.with_name(target.name + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        failures, reached = 0, _length(part)
        while True:
            try:
                _continue(address, part, size, progress)
                break
            except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
                if isinstance(error, ValueError):  # requests' own errors about addresses are of this kind too
                    raise UserError(f"cannot download {address}: {error}; mend dataset.url in params.yaml") from None
                failures += 1
                if _length(part) >= reached + PROGRESS:
                    failures, reached = 0, _length(part)
                if failures == ATTEMPTS:
                    raise UserError(
                        f"cannot download {address}: {_reason(error)}; try again later (the {_length(part):,} bytes "
                        f"already here will be used), or set dataset.url to a mirror or a file:// address"
                    ) from None
                time.sleep(wait_seconds * 2 ** max(0, failures - 1))
        arrived = _length(part)
        if arrived == 0 or arrived != (size or arrived):
            part.unlink()
            raise UserError(_another_size(address, arrived, size))
        part.rename(target)
    except OSError as error:
        raise UserError(
            f"cannot write {part}: {error.strerror or error}; make room there, say, and run again (the {_length(part):,} "
            f"bytes already here will be used)"
        ) from None


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _another_size(address: str, length: int, size: int | None) -> str:
    if not length:
        return f"{address} is an empty file; set dataset.url to a mirror or a file:// address"
    return (
        f"{address} has {length:,} bytes, but the recorded archive has {size:,}; the server sent something else: set "
        f"dataset.url to a mirror, and dataset.sha256 if its archive differs"
    )


class _Session(requests.Session):
    """Leaves redirects to `_get`: requests would read the whole body of each, and follow https to http."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, for: none that requests should follow."""


def _get(session: requests.Session, address: str, headers: dict[str, str]) -> requests.Response:
    here = address
    for _ in range(REDIRECTS + 1):
        response = session.get(here, stream=True, timeout=(15, 30), headers=headers)
        if not response.is_redirect:
            return response
        with response:
            here = _led_on(address, here, requests.Session.get_redirect_target(session, response) or "")
    raise UserError(f"{address} is redirected more than {REDIRECTS} times, last to {here}; mend dataset.url in params.yaml")


def _led_on(address: str, here: str, location: str) -> str:
    """Where a redirect from `here` leads; an error if another kind of address, or one that anybody may tamper with."""
    there = urljoin(here, location)
    if urlsplit(there).scheme not in SAFER[urlsplit(here).scheme.lower()]:
        raise UserError(
            f"{address} is redirected from {here} to {there}, which is refused: only http and https are followed, and "
            f"https not to http; set dataset.url to a mirror or a file:// address"
        )
    return there


def _continue(address: str, part: Path, size: int | None, progress: Progress) -> None:
    have = _length(part)
    headers = {"Range": f"bytes={have}-"} if have else {}
    headers["Accept-Encoding"] = "identity"  # ranges and lengths count the archive's own bytes
    with _Session() as session, _get(session, address, headers) as response:
        status, sent = response.status_code, response.headers.get("Content-Range", "")
        if status == requests.codes.requested_range_not_satisfiable and have:
            if sent == f"bytes */{have}":
                return  # the part was whole already
            part.unlink()
            raise requests.ConnectionError("the part on disk is longer than the file; starting anew")
        if status >= 500:
            raise requests.ConnectionError(f"the server answered {status} {response.reason}")
        if status not in (requests.codes.ok, requests.codes.partial_content):
            raise UserError(
                f"cannot download {address}: the server answered {status} {response.reason}; set dataset.url to a mirror "
                f"or a file:// address"
            )
        resumed = status == requests.codes.partial_content
        if resumed and not sent.startswith(f"bytes {have}-"):
            part.unlink(missing_ok=True)
            raise requests.ConnectionError(f"the server sent {sent or 'no range'} where byte {have} was due; starting anew")
        have = have if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() and len(length) < 20 else None
        chunk = response.raw.read1(CHUNK)  # what has arrived: a broken connection loses none of it
        if not resumed:
            refuse_page(chunk, address)  # before it replaces a good part
        if size is not None and total is not None and total != size:
            if resumed:
                part.unlink()
            raise UserError(_another_size(address, total, size))
        before, since = have, time.monotonic()
        with part.open("ab" if resumed else "wb") as file:
            while chunk and (size is None or have <= size):
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
                if time.monotonic() - since > SLOW_SECONDS:
                    if have - before < PROGRESS:
                        raise requests.ConnectionError(f"only {have - before:,} bytes came in {SLOW_SECONDS:.0f} s")
                    before, since = have, time.monotonic()
                chunk = response.raw.read1(CHUNK)
    if total is not None and have < total:
        raise requests.ConnectionError(f"the connection ended after {have:,} of {total:,} bytes")


def refuse_page(start: bytes, address: str) -> None:
    """Make sure that a file which begins with `start` is no page of HTML or XML.

    Raises:
        UserError: it is.
    """
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise UserError(
            f"{address} is a web page, such as a login or an error, and no archive; open it in a browser, and set "
            f"dataset.url to the address of the zip file itself, or to a file:// address"
        )


def _reason(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    return str(getattr(cause, "reason", cause))
