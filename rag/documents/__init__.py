"""A file becomes text, pages, sections and chunks: ``path`` -> ``Document`` -> ``Chunk``."""
