"""Data: where rows and pretrained models come from, and how rows become a data set."""
