"""From raw picture files to batches on a device."""
