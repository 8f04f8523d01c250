"""Generators for use elsewhere: formats, the check that they agree, and the model card."""
