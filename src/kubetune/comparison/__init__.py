"""Whether a candidate may take the champion's place: paired tests, guards, alpha over a sequence, one decision."""
