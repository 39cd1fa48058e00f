"""The network of a text encoder, tuned to the products' classes, and a linear layer on it."""

from stages.classifiers.base.text_classifier import TextClassifier, TextSettings


class Settings(TextSettings):
    """See TextSettings."""


class Classifier(TextClassifier):
    """See TextClassifier."""
