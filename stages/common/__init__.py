"""What every room uses: tables, files, errors, paths, caches, settings."""
