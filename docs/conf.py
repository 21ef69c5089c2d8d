"""How Sphinx makes a site of these pages: `make site`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

project = "ulmfit"
author = "The ulmfit authors"
copyright = "the ulmfit authors"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "ulmfit"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]

# The pages are read on a code host as well: plain Markdown, links to files and to headings.
myst_heading_anchors = 3
# Without a language a block is what somebody types or sees, not Python.
highlight_language = "none"

# Docstrings say `name` for code, and types stand in the signatures.
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
