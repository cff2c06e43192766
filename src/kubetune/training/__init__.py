"""Fine-tuning: one readable loop, its order, its checkpoints and its ranks."""
