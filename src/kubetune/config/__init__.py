"""Recipes (what to do) and settings (where to do it). One module a recipe section."""
