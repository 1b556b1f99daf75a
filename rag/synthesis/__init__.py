"""Hits become a context and an answer with checked citations."""
