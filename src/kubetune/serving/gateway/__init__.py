"""What stands in front of TorchServe in a pod: PID 1, the only listening port, keys, limits, readiness, metrics."""
