"""TorchServe: its configuration, its handler, one server process."""
