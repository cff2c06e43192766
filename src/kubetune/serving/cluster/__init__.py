"""Endpoints in a cluster: a Deployment that is rolled out and watched."""
