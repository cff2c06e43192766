"""What answers come to: sufficient statistics a row, and metrics as functions of their sums. Arrays, no models."""
