"""What kinds of classifier have in common: their interface, and base classes."""
