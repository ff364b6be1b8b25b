"""One static page that shows a comparison, from disk and without a network.

The page is HTML, CSS and JavaScript of this package, put into one file by Jinja2. It uses no JavaScript library: it
must carry all of its code to work from disk, and no package on PyPI gives pictures that zoom and pan in step.
"""

from __future__ import annotations

from fusionkit.comparison.page.thumbnails import make_thumbnails
from fusionkit.comparison.page.write import write_page

__all__ = ["make_thumbnails", "write_page"]
