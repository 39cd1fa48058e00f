"""Print what the models achieve, read from metrics/: no stage, shown after `make run`."""

import json
from typing import Any

from stages.common import paths
from stages.common.errors import InputError
from stages.common.process import run_stage
from stages.evaluation.report import report


def main() -> None:
    """Print the report of the metrics at hand."""
    print(report(*(read_metrics(name) for name in ("models", "headline", "summary", "data"))))


def read_metrics(name: str) -> dict[str, Any]:
    """Read metrics/<name>.json; raise InputError where it is missing or no JSON."""
    path = paths.METRICS / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is not there: `dvc repro` builds it") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}): `dvc repro -f evaluate` rebuilds") from None


if __name__ == "__main__":
    run_stage(main)
