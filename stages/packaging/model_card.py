"""A model's card: README.md in its folder, in the form that the Hugging Face hub reads."""

import re
from collections.abc import Mapping
from typing import Any

from tabulate import tabulate

from stages.fusion.model_file import ModelFile

SOURCES = {"demo": "drawn demo products", "bestbuy": "Best Buy's open data set", "table": "a table"}


def model_card(model: ModelFile, source: str) -> str:
    """Return the card of a model that was evaluated; `source` is `data.source` of params.yaml."""
    parts = [_front_matter(model, source), f"# {model.name}", _what(model, source)]
    if warning := _warning(model, source):
        parts.append(f"**{warning}**")
    parts += ["## Use", USE, "## How good it is", _quality(model)]
    parts += ["## When to ask a person", _thresholds(model)]
    parts += ["## What it is made of", _made_of(model)]
    parts += ["## Limits", LIMITS.strip(), "## Where it comes from", _provenance(model)]
    return "\n\n".join(parts) + "\n"


USE = """In a checkout of the repository that trained it:

```python
from serving import Predictor

predictor = Predictor.load("path/to/this/folder")
predictor.predict([{"name": "HDMI cable, 2 m", "image": "cable.jpg"}])
```

For a table:

```sh
python -m serving.predict products.csv --output predictions.csv --model path/to/this/folder
```

No code of this folder is run."""

LIMITS = """
- It knows only the classes above: a product of none of them is put into one all the same.
- Its figures hold for products like those that it was tested on. For new manufacturers or another
  season, expect less, and test it on products of your own.
- Texts in languages that its encoders cannot read say little; see the warnings of `embed_text`."""


def _front_matter(model: ModelFile, source: str) -> str:
    """Return the metadata that the hub reads."""
    from huggingface_hub import EvalResult, ModelCardData

    evaluation = model.evaluation or {}
    results = [
        EvalResult(
            task_type="text-classification" if "text" in _inputs(model) else "image-classification",
            task_name="Product classification",
            dataset_type=source,
            dataset_name=SOURCES[source],
            metric_type=kind,
            metric_name=name,
            metric_value=evaluation[key],
        )
        for key, kind, name in (
            ("accuracy", "accuracy", "Accuracy"),
            ("macro_f1", "f1", "Macro F1"),
        )
        if key in evaluation
    ]
    data = ModelCardData(
        model_name=model.name,
        library_name="product-classifier",
        tags=["product-classification", *(f"{name}-classification" for name in _inputs(model))],
        metrics=["accuracy", "f1"],
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---"


def _inputs(model: ModelFile) -> list[str]:
    return sorted({block.input for block in model.blocks.values()})


def _what(model: ModelFile, source: str) -> str:
    inputs = " and ".join(_inputs(model))
    return (
        f"Sorts products into {len(model.labels)} classes by their {inputs}. Trained on "
        f"{model.n_products:,} products ({SOURCES[source]})"
        + (", the test products among them." if model.is_refit else ".")
    )


def _warning(model: ModelFile, source: str) -> str:
    """Say what makes the figures worthless as evidence; an empty string where nothing does."""
    drawn = [name for name, one in model.encoders.items() if one.weights.kind == "random"]
    reasons = []
    if source == "demo":
        reasons.append("its products are drawn")
    if drawn:
        reasons.append(f"the weights of {', '.join(drawn)} are RANDOM")
    if not reasons:
        return ""
    return f"This model is no evidence of quality: {' and '.join(reasons)}."


def _quality(model: ModelFile) -> str:
    found = model.evaluation
    if not found:
        return "It was not evaluated."
    rows: list[tuple[str, str]] = [
        (name, f"{found[key]:.4f}{_interval(found, key)}")
        for key, name in (
            ("accuracy", "accuracy"),
            ("macro_f1", "macro F1"),
            ("top3_accuracy", "accuracy of the first three"),
        )
    ]
    rows.append(("expected calibration error", f"{found['calibration_error']['after']:.4f}"))
    table = tabulate(rows, headers=["", "test"], tablefmt="github", disable_numparse=True)
    text = (
        f"{table}\n\n{found['products']:,} test products; 95 % intervals by near-duplicate group."
    )
    if model.is_refit:
        text += (
            " These are the figures of models that were fitted without the products that they were "
            "tested on. The model in this folder is fitted to all products, so that none is left "
            "to test it with."
        )
    return text


def _interval(found: Mapping[str, Any], key: str) -> str:
    ends = found["interval"].get(key)
    return f" ({ends['low']:.4f} to {ends['high']:.4f})" if ends else ""


def _thresholds(model: ModelFile) -> str:
    # As many digits as a float32 has: of four, 0.99996 would be a 1 that nothing reaches.
    rows = [
        (f"{100 * float(target):g} %", "none is promised" if found is None else f"{found:.7f}")
        for target, found in model.thresholds.items()
    ]
    table = tabulate(
        rows,
        headers=["accuracy", "file where the probability is at least"],
        tablefmt="github",
        disable_numparse=True,
    )
    return (
        "Found on held-out validation products. With a confidence of 95 %, products like those "
        "are right at least as often as the accuracy says:\n\n"
        f"{table}"
    )


def _made_of(model: ModelFile) -> str:
    rows = [
        (name, one.settings["kind"], one.weights.kind, one.weights.origin, one.weights.sha256[:12])
        for name, one in model.encoders.items()
    ]
    headers = ["encoder", "kind", "weights", "from", "sha256"]
    # A sha256 may look like a number: 1234567890e1 would be written as 1.23457e+10.
    table = tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
    labels = ", ".join(map(_code, model.labels))
    return (
        f"{_classifier(model.classifier)}, fusion `{model.fusion}`.\n\n"
        f"{table}\n\nClasses: {labels}."
    )


def _code(text: str) -> str:
    """Return a text as code of Markdown: it is shown as it is, with whatever it has in it."""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def _classifier(saved: Mapping[str, Any]) -> str:
    """Say what classifies: one classifier, or several that are pooled."""
    trust = saved.get("trust")
    if trust is None:
        return f"A classifier of kind `{saved['kind']}`"
    parts = ", ".join(f"`{name}` ({weight:.2f})" for name, weight in trust.items() if weight > 0)
    return f"A pool of classifiers, by how far each is trusted: {parts}"


def _provenance(model: ModelFile) -> str:
    lines = [f"- {name}: `{value}`" for name, value in model.provenance.items()]
    versions = ", ".join(f"{name} {value}" for name, value in model.versions.items())
    return "\n".join(
        [
            *lines,
            f"- trained with {versions}",
            "",
            "`git log -S<md5> -- dvc.lock` in the repository finds the commit that holds it.",
        ]
    )
