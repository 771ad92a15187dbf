"""/statusz, as a browser shows it."""

import shutil
import subprocess
import urllib.request

import caches
import chunkkv
import pytest
import sample_caches
from PIL import Image
from programs import running_server
from tenants import client_with
from test_admin import admin_address, admin_options

WIDTH, HEIGHT = 1200, 900


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Address of the status page of a server with a compacted and a full entry; its text."""
    folder = tmp_path_factory.mktemp("status")
    with running_server(folder, *admin_options(folder)) as address:
        with client_with(address) as client:
            caches.put(client)
            layers = [chunkkv.Layer(k, v, queries=queries) for k, v, queries in sample_caches.cache(2000)]
            client.put(model=sample_caches.model("<script>alert(1)</script>"), tokens=sample_caches.tokens(2000),
                       layers=layers, spec=chunkkv.CompactionSpec(policy="chunk_kv", keep_ratio=0.1, window_length=8))
            assert caches.is_served(client)
        url = f"http://{admin_address(folder)}/statusz"
        with urllib.request.urlopen(url, timeout=10) as response:
            yield url, response.read().decode()


def test_says_what_there_is(page):
    _, text = page
    for wanted in ("host memory", "2 entries", "chunk_kv", "full", "ready", "100.0 %"):
        assert wanted in text, wanted
    assert text.count("<svg") == 2


def test_has_neither_scripts_nor_anything_to_load(page):
    for unwanted in ("<script", "http://", "https://", "src=", "@import"):
        assert unwanted not in page[1]


def test_a_browser_shows_it(page, tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs Debian's chromium")
    picture = tmp_path / "status.png"
    subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={picture}",
                    f"--window-size={WIDTH},{HEIGHT}", f"--user-data-dir={tmp_path}/profile", page[0]], check=True,
                   capture_output=True, timeout=120)
    with Image.open(picture) as image:
        colours = dict((colour, count) for count, colour in image.convert("RGB").getcolors(1 << 24))
        assert image.size == (WIDTH, HEIGHT)
    blue = sum(count for (red, _, blue), count in colours.items() if blue > red + 40)
    assert 500 < blue < WIDTH * HEIGHT / 5, "bars and pictures of kept tokens are drawn"
    assert (0x2F, 0x85, 0x5A) in colours, "it says that it is ready"
