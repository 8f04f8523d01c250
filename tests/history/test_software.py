"""Packages here against those that a commit locked."""

from cyclegan.history.software import differences, installed, locked

LOCK = b"# a comment\ntorch==2.15.0\nnumpy==2.4.0 ; python_version > '3'\nruff==0.9\n-e .\n"


def test_pins_are_read_whatever_stands_around_them() -> None:
    assert locked(LOCK) == {"torch": "2.15.0", "numpy": "2.4.0", "ruff": "0.9"}
    assert locked(None) == {}


def test_another_version_differs_and_another_build_or_an_absent_package_does_not() -> None:
    here = {"torch": "2.15.0+cpu", "numpy": "2.4.1"}
    assert differences(locked(LOCK), here.get) == ["numpy 2.4.0 locked, 2.4.1 here"]


def test_what_is_installed_is_asked_of_python() -> None:
    version = installed("pytest")
    assert version is not None
    assert version.split(".")[0].isdigit()
    assert installed("no-such-package-anywhere") is None
