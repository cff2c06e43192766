"""Sweeps: trials, and the choice among them."""
