"""Images: HTTP, archives, conversion."""
