"""The mirror of runs and models in MLflow. The store is the truth, so MLflow can be filled from it at any time."""
