"""Where things lie."""

from stages.common import paths


def test_shards_are_in_the_order_of_their_numbers_also_after_99999(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths.IMAGES.mkdir(parents=True)
    names = [f"images-{number:05}.parquet" for number in (0, 10_001, 99_999, 100_000, 1_000_000)]
    for name in names:
        (paths.IMAGES / name).touch()
    assert [shard.name for shard in paths.image_shards()] == names
