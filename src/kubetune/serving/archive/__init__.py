"""The served directory: its manifest, its card, and what it becomes elsewhere (a .mar, a folder of transformers)."""
