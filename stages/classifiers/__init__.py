"""The kinds of classifier, one module each, named as the kind."""
