"""A query becomes hits."""
