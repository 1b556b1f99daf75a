"""Vectors and terms become searchable."""
