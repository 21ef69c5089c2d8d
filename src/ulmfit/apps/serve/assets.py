"""The files of the web page, as they are served: all from here, none from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "page"
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGES = {"index.html": "/", "docs.html": "/docs"}


@dataclass(frozen=True)
class Asset:
    """One file.

    Attributes:
        content: its bytes.
        kind: content type.
    """

    content: bytes
    kind: str

    @property
    def headers(self) -> dict[str, str]:
        """A browser asks again each time, so that page and service never differ in version."""
        return {"content-type": self.kind, "cache-control": "no-cache"}


def load_assets() -> dict[str, Asset]:
    """All files of the page by the path they are served under."""
    return {
        _PAGES.get(path.name, f"/page/{path.name}"): Asset(path.read_bytes(), _KINDS[path.suffix])
        for path in sorted(FOLDER.iterdir())
    }
