"""What DVC and the stages say, and the metrics of a pipeline that was run."""

import json
import re

from helpers.copies import Copy

UP_TO_DATE = "Data and pipelines are up to date."
COMPUTED = re.compile(r"^(\w+): (\d+) of [\d,]+ (?:image|text)s computed", re.MULTILINE)


def metrics_of(copy: Copy) -> dict:
    return {
        name: json.loads((copy.top / "metrics" / f"{name}.json").read_text())
        for name in ("data", "headline", "models")
    }
