"""From a commit to its runs and back: what commits hold, what key their training has, and which runs belong to it."""
