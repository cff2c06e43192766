"""Closed, typed sections and the YAML that they are read from; knows no section of its own."""
