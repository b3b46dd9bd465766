"""A publisher's server that misbehaves as asked."""

import contextlib
import http.server
import threading
import time


class Host(http.server.ThreadingHTTPServer):
    """A publisher on 127.0.0.1; the last folder of an address says how it behaves.

    `data` is what it has, or by file name what it has of each.
    """

    def __init__(self, data):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.tag = data, '"one"'
        self.asked = []  # (path, Range) of all requests
        self.url = f"http://127.0.0.1:{self.server_port}"

    def count(self, path):
        return sum(path == asked for asked, _ in self.asked)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):  # noqa: N802
        way, wanted = self.path.split("/")[-2], self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        getattr(self, way, self.missing)()

    @property
    def data(self):
        data = self.server.data
        return data[self.path.split("/")[-1]] if isinstance(data, dict) else data

    def missing(self):
        self.send_error(404)

    def page(self):
        self.answer(b"<html>Quota exceeded</html>")

    def redirect(self):
        self.send_response(302)
        self.send_header("Location", self.path.replace("redirect", "whole"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def busy(self):
        if self.server.count(self.path) == 1:
            self.send_error(503)
        else:
            self.whole()

    def corrupted(self):
        data = bytearray(self.data)
        data[len(data) // 2] ^= 1
        self.answer(bytes(data))

    def truncated(self):
        self.answer(self.data[:-100])

    def silent(self):  # neither a length nor an end
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.data[: len(self.data) // 2])

    def whole(self):
        self.answer(self.data)

    def half(self):
        """Break in the middle of the whole, but give the rest if asked for it."""
        self.answer(self.data, cut=None if self.headers.get("Range") else 0.5)

    def halting(self):
        """Break in the middle, then at once, and give the rest to the third request."""
        count = self.server.count(self.path)
        self.answer(self.data, cut=0.5 if count <= 2 else None)

    def leaving(self):
        """Break in the middle, and have the file no more."""
        self.half() if self.server.count(self.path) == 1 else self.missing()

    def spoilt(self):
        """Break in the middle of other bytes, and have the file no more."""
        if self.server.count(self.path) == 1:
            self.answer(b"x" * len(self.data), cut=0.5)
        else:
            self.missing()

    def dropping(self):
        """Break again and again, each time a twentieth further."""
        wanted = self.headers.get("Range", "bytes=0-")
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.answer(self.data, cut=min(1, start / len(self.data) + 0.05))

    def away(self):
        """Answer nothing for some requests."""
        if self.server.count(self.path) > 7:
            self.whole()

    def outage(self):
        """Break in the middle, and answer nothing for some requests."""
        count = self.server.count(self.path)
        if count == 1 or count > 20:
            self.half()

    def forgetful(self):
        """Break in the middle once, and know no ranges."""
        first = self.server.count(self.path) == 1
        self.answer(self.data, cut=0.5 if first else None, ranges=False)

    def slow(self):
        self.answer(self.data, pieces=8)

    def stuck(self):
        self.answer(self.data, cut=0.5, wait=3)

    def answer(self, data, cut=None, ranges=True, pieces=1, wait=0):
        start, wanted = 0, self.headers.get("Range") if ranges else None
        if wanted and self.headers.get("If-Range") in (self.server.tag, '"any"', None):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", self.server.tag)
        self.end_headers()
        end = len(data) if cut is None else int(cut * len(data))
        step = -(-(end - start) // pieces)
        for first in range(start, end, step):
            self.wfile.write(data[first : min(first + step, end)])
            self.wfile.flush()
            time.sleep(0.02 if pieces > 1 else 0)
        time.sleep(wait)


@contextlib.contextmanager
def serving(data):
    """Run a Host of `data` in a thread."""
    with Host(data) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()
