"""Whether a store can be reached, tried without writing to it."""

import os
from pathlib import Path

import requests

from cyclegan.tracking.store import Store

SECONDS = 5.0  # to wait for a server


def trouble(store: Store) -> str | None:
    """What keeps the store from being used now, in a few words; None if nothing is seen to.

    A server is asked for its health; a database file is seen to be writable or not. Other databases are not tried.
    """
    if store.uri.startswith("http"):
        try:
            answer = requests.get(f"{store.uri.rstrip('/')}/health", timeout=SECONDS)
        except requests.RequestException as error:
            return f"it does not answer ({type(error).__name__})"
        return None if answer.ok else f"it answers {answer.status_code} {answer.reason}"
    if store.uri.startswith("sqlite:///"):
        file = Path(store.uri.removeprefix("sqlite:///"))
        place = file if file.exists() else file.parent
        return None if os.access(place, os.W_OK) else f"{place} cannot be written"
    return None
