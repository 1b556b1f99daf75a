"""Texts and images become vectors."""
