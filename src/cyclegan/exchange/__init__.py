"""Weights of other projects, in and out. Apart from `models`, so that a better importer makes no training stale."""
