"""The error for weights that are not on this machine while the network does not answer."""


class Unreachable(Exception):
    """The weights of `model` cannot be fetched now; `remedy` is what else the user can do."""

    def __init__(self, model: str, reason: str, remedy: str) -> None:
        super().__init__(f"{model}: {reason}")
        self.model = model
        self.reason = reason
        self.remedy = remedy
