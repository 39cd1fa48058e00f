"""Files as a bad disk, a cut line or a malicious hand leaves them: the same for a seed."""

import random
from collections.abc import Iterator


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` damaged copies of `data`: bytes changed, cut out, doubled, or cut off."""
    rng = random.Random(seed)
    for _ in range(count):
        copy = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8, 64))):
            # Half of the hits are near the start, where headers are.
            at = rng.randrange(len(copy) if rng.random() < 0.5 else min(len(copy), 200))
            match rng.randrange(4):
                case 0:
                    copy[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
                case 1:
                    copy[at] ^= 1 << rng.randrange(8)
                case 2:
                    copy[at : at + rng.randrange(1, 9)] = rng.randbytes(rng.randrange(9))
                case 3:
                    copy[at:at] = copy[at : at + rng.randrange(1, 40)]
        if rng.random() < 0.1:
            del copy[rng.randrange(len(copy)) :]
        yield bytes(copy)
