"""What the tests of tuned networks share."""

import pytest

from stages.classifiers.base import tuning_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Keep tuned networks elsewhere than the repository does; give the folder."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setattr(tuning_cache, "cache_folder", lambda: folder)
        yield folder
