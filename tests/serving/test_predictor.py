"""The Predictor names the class that anyone can see, and says what it lacked."""

from helpers.models import LABELS, row_of


def test_products_that_all_lack_their_text_are_judged_by_their_images(predictor):
    rows = [{"image": row_of(label)["image"]} for label in LABELS]
    assert [one.label for one in predictor.predict(rows)] == LABELS


def test_a_product_is_put_where_anyone_would(predictor):
    rows = [row_of(label, number) for label in LABELS for number in (100, 101)]
    found = predictor.predict(rows)
    assert [one.label for one in found] == [label for label in LABELS for _ in range(2)]
    assert [one.sku for one in found] == [row["sku"] for row in rows]
    for one in found:
        assert one.decision == "file" and one.error is None and one.missing == []
        assert one.top[0].label == one.label == one.image.label == one.text.label
        assert len(one.top) == 3
