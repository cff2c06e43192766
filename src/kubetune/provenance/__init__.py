"""Where an archive comes from: the chain of commits behind it, signed by who registers it, checked by who serves it."""
