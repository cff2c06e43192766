"""What costs nothing and must be beaten: one module a task kind, found by name, so that only `evaluate` depends on it.

A training would otherwise have scikit-learn and all of this in its key.
"""
