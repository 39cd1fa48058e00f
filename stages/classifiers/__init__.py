"""The kinds of classifier, one module each, named after the kind."""
