"""The network of an image encoder, tuned to the products' classes, and a linear layer on it."""

from stages.classifiers.base.image_classifier import ImageClassifier, ImageSettings


class Settings(ImageSettings):
    """See ImageSettings."""


class Classifier(ImageClassifier):
    """See ImageClassifier."""
