"""Whether a store can be reached, tried without writing to it."""

import os
from pathlib import Path

import requests

from cyclegan.tracking.sender import explain
from cyclegan.tracking.store import Store, client_of

SECONDS = 5.0  # to wait for a server
WHO_ASKS = (401, 403)  # a gate before the server wants a name and a password, which MLflow's client has


def trouble(store: Store) -> str | None:
    """What keeps the store from being used now, in a few words; None if nothing is seen to.

    A server is asked for its health, and then, as this user, for the experiment; a database file is seen to be writable or
    not. Other databases are not tried.
    """
    if store.uri.startswith("http"):
        return _silence(store.uri) or _refusal(store)
    if store.uri.startswith("sqlite:///"):
        file = Path(store.uri.removeprefix("sqlite:///"))
        place = file if file.exists() else file.parent
        return None if os.access(place, os.W_OK) else f"{place} cannot be written"
    return None


def _silence(address: str) -> str | None:
    """Why no server would answer, found out sooner than a client that tries again and again would."""
    try:
        answer = requests.get(f"{address.rstrip('/')}/health", timeout=SECONDS)
    except requests.exceptions.SSLError:
        return None  # MLflow's client has settings of its own for certificates
    except requests.RequestException as error:
        return f"it does not answer ({type(error).__name__})"
    return None if answer.ok or answer.status_code in WHO_ASKS else f"it answers {answer.status_code} {answer.reason}"


def _refusal(store: Store) -> str | None:
    """Why a server that answers does not serve this user: it tells everybody its health, by whatever name it is called."""
    try:
        client_of(store).get_experiment_by_name(store.experiment)
    except Exception as error:
        return explain(error)
    return None
