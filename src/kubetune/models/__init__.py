"""The life of a registered model: candidate, version, champion; who may change it, and what that does."""
