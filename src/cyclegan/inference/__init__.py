"""Using a trained generator on picture files."""
