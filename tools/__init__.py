"""Commands for maintainers; no stage uses them."""
