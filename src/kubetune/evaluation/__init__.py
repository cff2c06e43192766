"""What a fine-tuned model is worth: metrics with intervals, baselines, slices, the verdict and the report."""
