"""Shipped recipes. Each one is a test case."""
