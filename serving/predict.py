"""Predict for every product of a table: `python -m serving.predict new.csv --output out.parquet`.

The exit code is 0 where all rows were judged, 3 where some could not be, 1 for an error that is
said in one line. A run that was interrupted goes on where it stopped, by the same command.
"""

import argparse
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

from stages.common.process import run_stage

SOME_WITHOUT_ANSWER = 3


def main() -> None:
    """Predict as the command line says, and say in the last line what became of the rows."""
    from serving.batch.columns import parse_columns
    from serving.batch.object_store import local_files, without_query
    from serving.batch.options import Options
    from serving.batch.run import predict_table
    from serving.batch.wording import errors_in_flags

    start = time.monotonic()
    warnings.filterwarnings("ignore", module="PIL")  # about odd images that are not failures
    asked = vars(_parser().parse_args())
    with errors_in_flags():
        named = parse_columns(asked.pop("column"))
        table, output = asked.pop("table"), asked.pop("output")
        options = Options(Path(table), Path(without_query(output)), columns=named, **asked)
        options.check_flags()
        with local_files(table, output, options.overwrite) as (source, target):
            summary = predict_table(replace(options, table=source, output=target))
    seconds = time.monotonic() - start
    print(f"predict: {summary.words()}; {seconds:.1f} s, {without_query(output)}")
    if summary.errors:
        sys.exit(SOME_WITHOUT_ANSWER)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.predict",
        description="Predict the class of every product of a table.",
        epilog="exit code: 0 all rows were judged, 3 some could not be, 1 an error",
    )
    add = parser.add_argument
    about = "CSV, TSV, JSON, JSON Lines, Parquet, a workbook or a folder; a path or a URL: s3://..."
    add("table", help=about)
    about = "the file to write: .parquet or .csv; a path or a URL"
    add("--output", required=True, help=about)
    add("--model", type=Path, default=Path("models/best"), help="default: %(default)s")
    about = "promised of the products that are filed; default: %(default)s"
    add("--accuracy", type=float, default=0.95, help=about)
    add("--top", type=int, default=3, help="how many classes to name; default: %(default)s")
    about = "a column of the table, as in name=title; may be given several times"
    add("--column", action="append", default=[], metavar="WHAT=NAME", help=about)
    add("--images", type=Path, metavar="FOLDER", help="of the images; default: the table's")
    add("--archive", metavar="FILE", help="a zip or tar with the images: a path or a URL")
    add("--sheet", help="of a workbook; default: the only one that has rows")
    add("--encoding", help="of CSV, TSV and JSON, such as cp1252; default: UTF-8, or as marked")
    add("--overwrite", action="store_true", help="replace the output where it is there")
    add("--restart", action="store_true", help="do not go on where an earlier run stopped")
    about = "local, or ray: the model on a cluster, see docs/scale.md; default: %(default)s"
    add("--compute", choices=["local", "ray"], default="local", help=about)
    return parser


if __name__ == "__main__":
    run_stage(main, "run the same command again to go on where it stopped")
