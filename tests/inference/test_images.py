"""Images by path, folder and address; addresses are served by a small server in the test."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from botzoo.errors import DataError
from botzoo.inference.images import download, find_images, name_of, read_encoded


def png() -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(file, "png")
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        places = {"/to-file": "file:///etc/passwd", "/to-ftp": "ftp://127.0.0.1/x.png", "/moved": "/photo.png"}
        if self.path in places:
            self.send_response(302)
            self.send_header("Location", places[self.path])
            self.end_headers()
        elif self.path == "/away":  # a name of another origin for the same machine
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/private")
            self.end_headers()
        elif self.path == "/private" and self.headers.get("Authorization") != "Basic YWxpY2U6cCB3":
            self.send_error(401)
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(bytes(1 << 20))
        elif self.path == "/huge":
            self.send_response(200)
            self.send_header("Content-Length", str(1 << 40))
            self.end_headers()
        elif self.path == "/slow":
            threading.Event().wait(0.5)
        elif self.path.startswith(("/photo", "/private")):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(png())
        else:
            self.send_error(404)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


def test_a_folder_gives_its_images_sorted_and_files_their_order(tmp_path: Path) -> None:
    names = ["b/2.JPG", "b/1.png", "a.webp", "b/notes.txt", ".hidden.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_images(["z.png", str(tmp_path), "https://host/x"])
    assert found == ["z.png", *(str(tmp_path / name) for name in ("a.webp", "b/1.png", "b/2.JPG")), "https://host/x"]


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no image in the folder {tmp_path}"):
        find_images([str(tmp_path)])


@pytest.mark.parametrize("path", ["/photo.png", "/moved", "/photo with ü.png?a=b&c=%20"])
def test_an_address_gives_what_it_answers(server: str, path: str) -> None:
    assert download(server + path) == png()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nowhere", "404"),
        ("/to-file", "cannot be fetched"),
        ("/to-ftp", "cannot be fetched"),
        ("/endless", "larger than 0 MiB"),
        ("/huge", "larger than 0 MiB"),
        ("/slow", "cannot be fetched"),
    ],
)
def test_an_address_that_gives_no_image_says_why(server: str, path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        download(server + path, limit=1 << 19, timeout=0.2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://host/x.png", "data://x", "http://", "http://[::1/x"])
def test_only_the_web_is_read(address: str) -> None:
    with pytest.raises(ValueError, match=r"only http|cannot be fetched|Invalid IPv6"):
        read_encoded(address)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file"):
        read_encoded(str(tmp_path / "x.png"))


def test_a_password_in_an_address_is_used_and_not_handed_on(server: str) -> None:
    private = server.replace("//", "//alice:p%20w@")
    assert download(f"{private}/private") == png()
    with pytest.raises(ValueError, match="401"):
        download(f"{private}/away")


def test_an_image_is_called_by_its_address_without_secrets() -> None:
    assert name_of(*find_images(["http://alice:pw@host/my photo.jpg?sig=x"]), 0) == "http://***@host/my%20photo.jpg?***"
