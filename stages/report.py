"""Print what the models achieve, read from metrics/: no stage, shown after `make run`."""

from stages.common import paths
from stages.common.files import read_json
from stages.common.process import run_stage
from stages.evaluation.report import report


def main() -> None:
    """Print the report of the metrics at hand."""
    names = ("models", "headline", "summary", "data")
    print(report(*(read_json(paths.METRICS / f"{name}.json") for name in names)))


if __name__ == "__main__":
    run_stage(main)
