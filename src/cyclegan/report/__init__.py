"""An evaluation as one page to look at: no network, no other file, the same bytes each time."""
