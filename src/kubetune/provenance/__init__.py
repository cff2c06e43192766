"""Where an archive comes from: the chain of commits behind it, signed where it is registered, checked where it serves."""
