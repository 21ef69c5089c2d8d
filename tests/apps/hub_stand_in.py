"""A hub of models on this machine: as much of its HTTP interface as push and pull use."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_writes"
COMMIT = "c0ffee" * 6 + "abcd"


class Hub:
    """What is stored.

    Attributes:
        repositories: name -> path -> content.
        private: names that need the token.
        endpoint: its address.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.endpoint = ""


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers until the block ends."""
    hub = Hub()

    class Handler(_Handler):
        stored = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    stored: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            known = self.headers.get("Authorization") is not None
            return self.refuse(403 if known else 401)
        if self.path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
            self.stored.repositories.setdefault(name, {})
            if asked.get("private") or asked.get("visibility") == "private":
                self.stored.private.add(name)
            return self.answer({"url": f"{self.stored.endpoint}/{name}"})
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main.*", self.path)
        if found is None:
            return self.refuse(404)
        if found[2] == "preupload":
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "regular"} for f in files]
            return self.answer({"files": [{**m, "shouldIgnore": False} for m in modes]})
        self.commit(self.stored.repositories[found[1]], body)
        address = f"{self.stored.endpoint}/{found[1]}/commit/{COMMIT}"
        return self.answer({"success": True, "commitOid": COMMIT, "commitUrl": address})

    def commit(self, files: dict[str, bytes], body: bytes) -> None:
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            elif entry["key"] == "deletedFile":
                files.pop(entry["value"]["path"])

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = re.match(r"(?:/api/models)?/([^/]+/[^/]+)", path)
        files = self.stored.repositories.get(name[1]) if name else None
        hidden = name is not None and name[1] in self.stored.private
        if files is None or (hidden and self.headers.get("Authorization") is None):
            return self.refuse(401, "RepoNotFound")  # as the hub does
        if "/resolve/" in path:
            content = files[path.split("/resolve/")[1].partition("/")[2]]
            return self.send(content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"'})
        if "/tree/" in path:
            return self.answer([self.entry(name, content) for name, content in files.items()])
        if not re.search(r"/revision/(main|[0-9a-f]{40})$", path) and "/revision/" in path:
            return self.refuse(404, "RevisionNotFound")
        siblings = [{"rfilename": path} for path in files]
        return self.answer({"id": name and name[1], "sha": COMMIT, "siblings": siblings})

    def entry(self, path: str, content: bytes) -> dict[str, Any]:
        oid = hashlib.sha1(content).hexdigest()
        return {"type": "file", "path": path, "size": len(content), "oid": oid}

    def answer(self, document: Any) -> None:
        self.send(json.dumps(document).encode(), {"Content-Type": "application/json"})

    def refuse(self, status: int, code: str | None = None) -> None:
        self.send(b"{}", {"X-Error-Code": code} if code else {}, status)

    def send(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for key, value in {**headers, "X-Repo-Commit": COMMIT}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
