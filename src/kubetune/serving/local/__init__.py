"""Endpoints on this machine: a stable front, servers behind it, and their records."""
