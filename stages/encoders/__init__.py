"""The kinds of encoder, one module each, named as the kind."""
