"""Give a JPEG an end that lacks it, as the last bytes of an upload may."""

END = b"\xff\xd9"
SCAN = b"\xff\xda"
PADDING = bytes(32)  # for the few bits at the end that a decoder reads ahead, or that are missing


def with_end(data: bytes, is_progressive: bool) -> bytes | None:
    """Return a JPEG with an end in the place of the one that it lacks; None if too much is missing.

    A JPEG is coded from top to bottom: a decoder that gets to its last row with 32 bytes of zeros
    found all of it but a few pixels, and one that needs more bytes says that the file is cut short.
    A progressive JPEG is coded from coarse to fine, so all of the image is there in any case. It
    is taken if the file ends in a scan that only adds the last bit of the numbers.
    """
    if not is_progressive:
        return data + PADDING
    return data + END if _ends_in_the_last_bit(data) else None


def _ends_in_the_last_bit(data: bytes) -> bool:
    """Return whether the last scan of a progressive JPEG adds the last bit, and only that."""
    start = data.rfind(SCAN)
    n_components = data[start + 4 : start + 5]
    if start < 0 or not n_components:
        return False
    bits = data[start + 7 + 2 * n_components[0] :][:1]  # the bit that was there before, and this
    return bits == b"\x10"
