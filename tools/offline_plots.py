"""Set up `dvc plots` to write a page that opens offline: no stage, run once after installing.

DVC's own page loads Vega from a CDN. This writes a template with Vega, Vega-Lite and Vega-Embed in
it, and names it in .dvc/config.local: a clone that has not run this keeps DVC's page.
"""

import subprocess
import sys
from pathlib import Path

from stages.common.errors import InputError
from stages.common.files import write_text
from stages.common.process import run_stage
from stages.reporting.vega import vega_bundle

DVC_FOLDER = Path(".dvc")
TEMPLATE = Path("plots.html")  # in DVC's folder: Git ignores it, and DVC leaves it alone

# The braces around the libraries keep their names apart from those of DVC's scripts. DVC fills in
# {plot_divs} and {refresh_tag}; it would put its links to the CDN for {scripts}, which is left out.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
    <meta charset="utf-8">
    {refresh_tag}
    <title>DVC plots</title>
    <script>(() => {
%s
})();</script>
    <style>.vega-embed { display: block !important; width: fit-content; margin: 2em; }</style>
</head>
<body>
    {plot_divs}
</body>
</html>
"""


def main() -> None:
    """Write the template and tell DVC of it."""
    if not DVC_FOLDER.is_dir():
        raise InputError("this is no DVC repository: run from the top of the repository")
    write_text(DVC_FOLDER / TEMPLATE, page())
    command = ["config", "--local", "plots.html_template", TEMPLATE.as_posix()]
    subprocess.run([sys.executable, "-m", "dvc", "--quiet", *command], check=True)


def page() -> str:
    """Return the HTML template, about 900 kB of it the libraries, that `dvc plots` fills."""
    return PAGE % vega_bundle()


if __name__ == "__main__":
    run_stage(main, "run the same command again")
