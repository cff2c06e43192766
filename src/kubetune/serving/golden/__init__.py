"""Raw rows with the answers that were measured: a server is ready when it reproduces them."""
