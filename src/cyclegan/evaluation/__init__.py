"""Scores whose names say their protocol, each beside what a trivial answer would score."""
