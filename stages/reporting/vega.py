"""Vega as one script, so that the report and the page of plots open offline."""

from importlib.metadata import version

from stages.common.cache import cache_folder
from stages.common.files import write_text

PACKAGE = "vl-convert-python"


def vega_bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed, about 900 kB of JavaScript.

    To put them together takes two seconds: it is done once for each version of the package.
    """
    file = cache_folder() / f"vega-{version(PACKAGE)}.js"
    if not file.is_file():
        import vl_convert

        write_text(file, vl_convert.javascript_bundle())  # type: ignore[call-arg]  # has a default
    return file.read_bytes().decode()
