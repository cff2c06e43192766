"""Notifications about a run: plain text made of plain facts, kept on disk until every sink has taken it."""
