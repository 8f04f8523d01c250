"""A real browser for tests that look at pages.

They are skipped where there is no Chromium. Where CI has one, it says CI_NEEDS_BROWSER=1: not to find it is a failure then.
"""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        missing = f"no browser is on the path: none of {', '.join(NAMES)}"
        if os.environ.get("CI_NEEDS_BROWSER") == "1":
            pytest.fail(f"{missing}, and CI_NEEDS_BROWSER is 1")
        pytest.skip(missing)
    with sync_playwright() as driver:
        try:
            started = driver.chromium.launch(executable_path=found, args=ARGUMENTS)
        except Error as error:
            pytest.fail(f"{found} does not start: {error.message.splitlines()[0]}")
        yield started
        started.close()
