"""The report as one page that needs no network: charts, and the products behind the figures."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from stages.evaluation.weak_slices import WeakSlice
from stages.reporting import charts, sections
from stages.reporting.cards import MAX_CARDS, Cards
from stages.reporting.names import shortened
from stages.reporting.results import Results, Row
from stages.reporting.vega import vega_bundle

TITLES = {
    "results": "Results",
    "confusion": "Confusion",
    "classes": "Classes",
    "weak": "Weak slices",
    "trust": "How far to trust it",
    "learning": "Learning curves",
    "map": "Map of products",
    "labels": "Labels that look wrong",
    "groups": "Near-duplicates",
    "rejected": "Rejected products and failed images",
    "files": "Files",
}
TABLES = ("models", "per_class", "coverage", "calibration", "learning_curves")
MAP_CARDS = 400  # that are kept for the maps
FOLDER = Path(__file__).parent


def page(
    results: Results,
    tables: Mapping[str, Sequence[Row]],
    maps: Mapping[str, Sequence[Row]],
    weak: Sequence[tuple[WeakSlice, Sequence[str]]],
    n_tried: int,
    shards: Iterable[Path],
) -> str:
    """Return the page as HTML.

    `tables` are the TABLES of plots/evaluation by name, `maps` those of plots/pca by modality.
    `weak` has the weak slices of the best model, each with the skus of its mistakes, those that the
    model is surest of first; `n_tried` slices were tried. `shards` are the tables of images.
    """
    import jinja2

    cards = Cards(results)
    has_learning = bool(tables["learning_curves"])
    n_classes = results.data["classes"]["all"]
    context = {
        "titles": {key: TITLES[key] for key in TITLES if key != "learning" or has_learning},
        "header": sections.header(results),
        "models": sections.best_models(results),
        "weak": sections.weak_slices(results, weak, n_tried, cards),
        "labels": sections.label_issues(results, cards),
        "groups": sections.near_duplicates(results, cards),
        "rejected": sections.rejected(results),
        "matrices": sections.confusion(results, cards, MAX_CARDS - MAP_CARDS),
        "has_learning": has_learning,
        "cut_classes": charts.MAX_CLASSES if n_classes > charts.MAX_CLASSES else 0,
        "maps": {name: len(rows) for name, rows in maps.items()},
        "style": (FOLDER / "report.css").read_text(encoding="utf-8"),
        "script": (FOLDER / "report.js").read_text(encoding="utf-8"),
        "vega": vega_bundle(),
    }
    numbers = {
        row["sku"]: number
        for rows in maps.values()
        for row in rows
        if (number := cards.add(row["sku"])) is not None
    }
    drawn = _charts(tables, maps, results.best_modality, numbers)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["shortened"] = shortened
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    template = environment.get_template("report.html.jinja")
    return template.render(context, data=cards.to_json(shards) | {"charts": drawn})


def _charts(
    tables: Mapping[str, Sequence[Row]],
    maps: Mapping[str, Sequence[Row]],
    best_modality: str,
    numbers: Mapping[str, int],
) -> dict[str, charts.Spec]:
    found = {
        "accuracy": charts.models_chart(tables["models"], "accuracy", "accuracy"),
        "macro_f1": charts.models_chart(tables["models"], "macro_f1", "macro F1"),
        "classes": charts.classes_chart(tables["per_class"], best_modality),
        "coverage": charts.coverage_chart(tables["coverage"]),
        "calibration": charts.calibration_chart(tables["calibration"], best_modality),
    }
    if epochs := tables["learning_curves"]:
        found["loss"] = charts.learning_chart(epochs, "loss", "loss")
        found["learning_accuracy"] = charts.learning_chart(epochs, "accuracy", "accuracy")
    for i, rows in enumerate(maps.values(), start=1):
        found[f"map-{i}"] = charts.map_chart(rows, numbers)
    return found
