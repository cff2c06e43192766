"""Pure text functions that `prepare` and the server share, so that both see the same text."""
