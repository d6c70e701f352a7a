"""`files` from elsewhere: S3 with its real client, HTTP, archives."""

from __future__ import annotations

import functools
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.s3 import KEY, SECRET, s3

from polyport.errors import InputError, MissingExtraError

TEXT = "id,title\n1,Heat\n"
MORE = "id,title\n2,Ran\n"


def told(error):
    """All that an error says, with its causes."""
    return f"{error} {told(error.__cause__)}" if error is not None else ""


@pytest.fixture(scope="module")
def running():
    with s3() as bucket:
        yield bucket


@pytest.fixture
def bucket(running, monkeypatch):
    """An S3 with two folders, whose credentials are in the environment."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    running.objects = {
        "2024/a.csv": TEXT.encode(),
        "2024/b é+.csv": MORE.encode(),
        "2025/deep/c.csv": b"id,title\n3,Dune\n",
        "2024/notes.txt": b"x",
    }
    running.asked, running.between, running.page = [], lambda _: None, 1000
    return running


@pytest.fixture
def port(bucket, make):
    def made(path="s3://films/2024/*.csv", **options):
        secrets = {"S": SECRET}
        return make(
            "files", path=path, options={"endpoint_url": bucket.url} | options, secrets=secrets
        )

    return made


def titles(found):
    return sorted(row["title"] for row in found)


def test_globs_over_objects(port, keep, rows, bucket):
    received = port().fetch(keep, None)
    assert [(o.name, o.origin, o.bytes) for o in received.objects] == [
        ("a.csv", "s3://films/2024/a.csv", len(TEXT)),
        ("b é+.csv", "s3://films/2024/b é+.csv", len(MORE)),
    ]
    assert titles(rows(port(), received)) == ["Heat", "Ran"]
    assert titles(rows(port("s3://films/**/*.csv"))) == ["Dune", "Heat", "Ran"]
    assert titles(rows(port("s3://films/2024/a.csv"))) == ["Heat"]
    assert titles(rows(port(["s3://films/2024/a.csv", "s3://films/2025/*/*.csv"]))) == [
        "Dune",
        "Heat",
    ]


def test_lists_of_many_pages(port, keep, bucket):
    bucket.objects = {f"2024/{n:03}.csv": f"id,title\n{n},x\n".encode() for n in range(25)}
    bucket.page = 10
    assert len(port().fetch(keep, None).objects) == 25


def test_the_next_fetch_of_the_same_process_lists_anew(port, keep, bucket):
    made = port()
    first = made.fetch(keep, None)
    bucket.objects["2024/new.csv"] = b"id,title\n4,Alien\n"
    bucket.objects["2024/a.csv"] = b"id,title\n1,Heat 2\n"
    second = made.fetch(keep, first)
    assert [o.name for o in second.objects] == ["a.csv", "b é+.csv", "new.csv"]
    assert second.identity != first.identity


def test_credentials_as_options(port, rows, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert titles(rows(port(key=KEY, secret=SECRET))) == ["Heat", "Ran"]


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("s3://films/2024/*.csv", {"key": KEY, "secret": "hush"}, "SignatureDoesNotMatch"),
        ("s3://films/2024/a.csv", {"key": KEY, "secret": "hush"}, "Forbidden"),
        ("s3://films/2024/*.csv", {"key": "nobody", "secret": "hush"}, "InvalidAccessKeyId"),
        ("s3://films/2024/*.csv", {"anon": True}, "AccessDenied"),
        ("s3://none/2024/*.csv", {}, "there is no bucket 'none'"),
        ("s3://none/a.csv", {}, "there is no bucket 'none'"),
        ("s3://none/**/*.csv", {}, "there is no bucket 'none'"),
        ("s3://films/2026/*.csv", {}, "nothing matches"),
        ("s3://films/2024", {}, "nothing matches"),
    ],
)
def test_refusals_and_nothing(port, rows, path, options, message):
    with pytest.raises(InputError, match=message) as caught:
        rows(port(path, **options))
    assert "hush" not in told(caught.value)


def test_no_credentials_at_all(port, rows, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(InputError, match="locate credentials"):
        rows(port(use_ssl=False))


@pytest.mark.parametrize("change", [b"id,title\n1,Heat 2\n", b"id,title\n1,Hea\xff\n" * 9, None])
def test_an_object_that_changes_between_list_and_read(port, keep, bucket, change):
    def between(what):
        if what == "GET 2024/b é+.csv":
            bucket.objects.pop("2024/b é+.csv", None)
            if change:
                bucket.objects["2024/b é+.csv"] = change

    bucket.between = between
    with pytest.raises(InputError, match=r"s3://films/2024/b é\+\.csv cannot be read: ") as caught:
        port().fetch(keep, None)
    assert ("PreconditionFailed" if change else "NoSuchKey") in caught.value.message


def test_without_the_package_the_extra_is_named(make, rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(MissingExtraError) as caught:
        rows(make("files", path="s3://key:hush@bucket/a.csv"))
    assert caught.value.fix == "pip install 'polyport[s3]'"
    assert "hush" not in told(caught.value)


# HTTP


@pytest.fixture
def web(tmp_path):
    """A folder that is served; `GET /closed` is refused."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    folder = tmp_path / "web"
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def send_head(self):
            if self.path.startswith("/closed"):
                self.send_error(403)
                return None
            return super().send_head()

    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_http(web, make, keep, rows):
    folder, url = web
    (folder / "a.csv").write_text(TEXT)
    (folder / "b.csv").write_text(MORE)
    made = make("files", path=f"{url}/a.csv?token=hush")
    received = made.fetch(keep, None)
    assert [(o.name, o.origin) for o in received.objects] == [("a.csv", f"{url}/a.csv")]
    assert titles(rows(made, received)) == ["Heat"]
    assert titles(rows(make("files", path=f"{url}/*.csv"))) == ["Heat", "Ran"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/none.csv?token=hush", "nothing matches"),
        ("/closed.csv?token=hush", "cannot be read: 403"),
        ("/*.parquet", "nothing matches"),
    ],
)
def test_http_that_fails(web, make, rows, path, message):
    with pytest.raises(InputError, match=message) as caught:
        rows(make("files", path=web[1] + path))
    assert "hush" not in str(caught.value)


def test_a_host_that_is_down(web, make, rows):
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1/a\.csv cannot be read: ") as caught:
        rows(make("files", path="http://me:hush@127.0.0.1:1/a.csv?token=hush"))
    assert "hush" not in str(caught.value)


# Archives


def test_files_in_an_archive_of_the_product(home, make, keep, rows):
    (home / "in").mkdir()
    with zipfile.ZipFile(home / "in/films.zip", "w") as archive:
        archive.writestr("a.csv", TEXT)
        archive.writestr("deep/b.csv", MORE)
    made = make("files", path="zip://**/*.csv::in/films.zip")
    received = made.fetch(keep, None)
    assert [o.origin for o in received.objects] == [
        "zip://a.csv::in/films.zip",
        "zip://deep/b.csv::in/films.zip",
    ]
    assert titles(rows(made, received)) == ["Heat", "Ran"]
    with pytest.raises(InputError, match="nothing matches"):
        rows(make("files", path="zip://*.json::in/films.zip"))
    with pytest.raises(InputError, match=r"none\.zip cannot be read: No such file"):
        rows(make("files", path="zip://a.csv::none.zip"))
    (home / "cut.zip").write_bytes((home / "in/films.zip").read_bytes()[:50])
    with pytest.raises(InputError, match=r"cut\.zip cannot be read: File is not a zip"):
        rows(make("files", path="zip://a.csv::cut.zip"))
