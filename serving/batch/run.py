"""Predict for a whole table: read it, get its images, ask the model and write what it says."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from serving.answers import Prediction
from serving.batch.cluster import check_encoders, predict_on
from serving.batch.columns import choose_columns, likely_columns, say_columns
from serving.batch.images import RowImages, open_images
from serving.batch.options import Options
from serving.batch.output import output_table, write_output
from serving.batch.parts import Parts, folder_of, is_predicted, open_parts
from serving.batch.rows import InputRow, chunks, read_input
from serving.batch.summary import Summary
from serving.predictor import Predictor, threshold_of
from serving.products import Product
from stages.catalog.settings import TableColumns
from stages.catalog.sources.readers.formats import files_of, format_of
from stages.catalog.sources.readers.parquet import read_parquet
from stages.catalog.sources.table import columns_of
from stages.common.errors import InputError, without_secrets
from stages.common.files import sha256_of
from stages.common.image_ref import is_url
from stages.compute.base import Workers
from stages.compute.selection import select_workers
from stages.download.urls import unsigned
from stages.fusion.model_file import FILE, ModelFile

CHUNK = 1024  # rows that are in memory together, and a part of the output


def predict_table(options: Options) -> Summary:
    """Write a prediction for each row of the table, and return what became of the rows.

    A run that was killed resumes if it is asked for the same again. Raises InputError where an
    input is missing or wrong, and where the output is there and is not to be replaced.
    """
    options.check()
    model = ModelFile.load(options.model)
    threshold = threshold_of(model, options.accuracy)
    reading: Any = {"sheet": options.sheet, "encoding": options.encoding}
    columns = choose_columns(
        options.table,
        columns_of(options.table, likely_columns(model, options.columns), **reading),
        model,
        options.columns,
        archive=options.archive,
        **reading,
    )
    run, folder = _describe(options, columns), folder_of(options.output)
    _check_output(options, is_predicted(folder, run))
    _say(f"reads {say_columns(columns, model)}")
    predictor = Predictor.load(options.model)
    workers = select_workers(options.compute, use_gpus=True, reads=[options.model])
    if workers is not None:
        check_encoders(predictor, options.model)
    if threshold is None:
        _say(
            f"the model promises no accuracy of {options.accuracy}, as it had too few validation "
            "products or made too many mistakes: all products go to a person"
        )
    with open_parts(folder, run, options.restart) as (parts, said):
        if said:
            _say(said)
        _predict_rows(predictor, workers, options, columns, parts)
        if _describe(options, columns) != run:
            raise InputError(
                f"{options.table}, the model or the archive changed meanwhile: run the same "
                "command again"
            )
        summary = Summary()
        parts.finish()
        write_output(options.output, summary.counted(parts.tables()))
        parts.remove()
    return summary


def _predict_rows(
    predictor: Predictor,
    workers: Workers | None,
    options: Options,
    columns: TableColumns,
    parts: Parts,
) -> None:
    """Write the parts that are missing."""
    folder = options.image_folder
    rows = read_input(options.table, columns, folder, parts.n_rows)
    with ExitStack() as stack:
        images = None
        if columns.image_url or columns.image_path:
            size = predictor.file.image_size or 0
            opened = open_images(folder, options.table, columns.archive, size, parts.scratch)
            images = stack.enter_context(opened)
        is_parquet = format_of(files_of(options.table)[0]).read is read_parquet
        if images and (columns.archive or is_parquet) and not parts.all_unpacked.exists():
            if columns.archive:
                _say(f"unpacks the images in {without_secrets(columns.archive)}")
            images.unpack(read_input(options.table, columns, folder))
            parts.all_unpacked.touch()
        bar = tqdm(initial=parts.n_rows, desc="predict", unit=" rows", disable=None)
        wanted = (_products(chunk, images) for chunk in chunks(rows, CHUNK))
        accuracy, top = options.accuracy, options.top
        if workers is None:
            predict = partial(predictor.predict_products, accuracy=accuracy, top=top)
            predicted: Iterator[list[Prediction]] = map(predict, wanted)
        else:
            predicted = predict_on(workers, options.model, wanted, accuracy, top)
        try:
            for predictions in predicted:
                parts.add(output_table(parts.n_rows + 1, predictions))
                bar.update(len(predictions))
        except InputError:  # which may say that unpacked images are lost, as after a power cut
            parts.all_unpacked.unlink(missing_ok=True)
            raise
        bar.close()


def _products(rows: list[InputRow], images: RowImages | None) -> list[Product]:
    return images.load(rows) if images else [row.product for row in rows]


def _check_output(options: Options, is_ours: bool) -> None:
    """Raise InputError where the output is there, and neither ours nor to be replaced."""
    if options.output.exists() and not options.overwrite and not is_ours:
        raise InputError(
            f"{options.output} is there already: add --overwrite to replace it, or name another"
        )


def _describe(options: Options, columns: TableColumns) -> dict[str, Any]:
    """Return what the predictions depend on, by its name in a message."""
    archive: Any = options.archive
    if archive is not None:
        archive = unsigned(archive) if is_url(archive) else _state(Path(archive))
    return {
        "table": [_state(file) for file in files_of(options.table)],
        "model": sha256_of(options.model / FILE),
        "accuracy": options.accuracy,
        "top": options.top,
        "choice of columns": columns.model_dump(mode="json", exclude={"archive"}),
        "folder of images": str(options.image_folder.resolve()),
        "archive": archive,
    }


def _state(file: Path) -> list[Any]:
    """Return a file's path, size and time of its last change."""
    found = file.stat()
    return [str(file.resolve()), found.st_size, found.st_mtime_ns]


def _say(text: str) -> None:
    print(f"predict: {text}", file=sys.stderr)
