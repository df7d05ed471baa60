"""Numbers in, findings out: nothing here starts, reads or writes anything."""
