from __future__ import annotations

import re

import httpx

from ulmfit.apps.serve.assets import FOLDER, load_assets


def test_every_file_of_the_page_is_served(client: httpx.Client) -> None:
    found = load_assets()
    assert len(found) == len(list(FOLDER.iterdir()))
    assert {"/", "/docs", "/page/style.css", "/page/main.js", "/page/icon.svg"} <= set(found)
    for path, asset in found.items():
        answer = client.get(path)
        assert answer.content == asset.content
        assert answer.headers["content-type"] == asset.kind
        assert client.head(path).status_code == 200


def test_nothing_comes_from_elsewhere_and_nothing_is_missing() -> None:
    found = load_assets()
    for path, asset in found.items():
        text = asset.content.decode()
        assert set(re.findall(r"https?://[^\"' )]+", text)) <= {"http://www.w3.org/2000/svg"}
        named = re.findall(r'(?:src|href)="(/[^"]*)"', text)
        named += [f"/page/{name}" for name in re.findall(r'from "\./([^"]+)"', text)]
        assert set(named) <= {*found, "/openapi.json"}, path
        assert not re.search(r"\son\w+=\"|\sstyle=\"|<script>|<style>", text), "forbidden by policy"
