"""Readers of tables: one module per family of file formats, each yielding rows of cells."""
