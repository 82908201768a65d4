"""
Registries that want to know who asks, with mirrors, proxies and certificates around them. All
listen on the loopback interface; `registry.localhost` is a name of it that msb does not treat as
this host's own.
"""
import base64
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.parse
from dataclasses import dataclass, field

import oci
import registry
from harness import LIMIT, wait_for

NAME = "registry.localhost"
HTPASSWD = "tester:$2y$04$bIi70IkXclWeQFuWO/zoBecgBuSqIIrRcWxYFTNcTHYSwgJW0oNT.\n"  # secret


class HtpasswdRegistry(registry.DockerRegistry):
    """Debian's docker-registry, which asks tester for the password `secret` (Basic)."""

    def __init__(self, directory):
        # pylint: disable=super-init-not-called
        program = shutil.which("docker-registry") or "/usr/bin/docker-registry"
        self.host = f"127.0.0.1:{registry.free_port()}"
        htpasswd = os.path.join(directory, "htpasswd")
        with open(htpasswd, "w", encoding="utf-8") as f:
            f.write(HTPASSWD)
        config = os.path.join(directory, "config.yml")
        with open(config, "w", encoding="utf-8") as f:
            json.dump({  # which is YAML too
                "version": 0.1, "log": {"level": "error"},
                "storage": {"filesystem": {"rootdirectory": os.path.join(directory, "data")}},
                "auth": {"htpasswd": {"realm": "test", "path": htpasswd}},
                "http": {"addr": self.host},
            }, f)
        with open(os.path.join(directory, "log"), "wb") as log:
            self.process = subprocess.Popen([program, "serve", config], stdout=log, stderr=log)
        wait_for(self.answers, "docker-registry does not answer")


class Certificates:
    """A certificate authority of our own and a server's certificate that it has signed."""

    def __init__(self, directory):
        self.ca, key = os.path.join(directory, "ca.pem"), os.path.join(directory, "ca.key")
        self.cert = os.path.join(directory, "server.pem")
        self.key = os.path.join(directory, "server.key")
        request = os.path.join(directory, "server.csr")
        extensions = os.path.join(directory, "extensions")
        with open(extensions, "w", encoding="utf-8") as f:
            f.write(f"subjectAltName=DNS:{NAME},IP:127.0.0.1\n")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self.openssl("req", "-x509", *new_key, "-keyout", key, "-out", self.ca, "-days", "2",
                     "-subj", "/CN=authority of a test")
        self.openssl("req", *new_key, "-keyout", self.key, "-out", request, "-subj", "/CN=server")
        self.openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", key, "-days", "2",
                     "-set_serial", "1", "-extfile", extensions, "-out", self.cert)

    @staticmethod
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, timeout=LIMIT)

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context


class Server:
    """An HTTP server whose requests go to `answer`, and which ends with stop()."""

    def __init__(self, context=None):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def any_method(self):
                server.answer(self)

            do_GET = do_HEAD = do_POST = do_CONNECT = any_method

        class Listener(http.server.ThreadingHTTPServer):
            def get_request(self):
                connection, address = super().get_request()
                # The handshake is made in the connection's own thread.
                if context:
                    connection = context.wrap_socket(connection, server_side=True,
                                                     do_handshake_on_connect=False)
                return connection, address

            def handle_error(self, request, client_address):
                pass  # a client that went away, or that does not speak TLS

        self.listener = Listener(("127.0.0.1", 0), Handler)
        self.listener.daemon_threads = True
        self.port = self.listener.server_port
        self.host = f"127.0.0.1:{self.port}"
        self.name = f"{NAME}:{self.port}"
        self.scheme = "https" if context else "http"
        self.url = f"{self.scheme}://{self.host}"
        self.thread = threading.Thread(target=self.listener.serve_forever, args=(0.05,))
        self.thread.start()

    def stop(self):
        self.listener.shutdown()
        self.thread.join()
        self.listener.server_close()

    def answer(self, h):
        raise NotImplementedError

    @staticmethod
    def send(h, status, body=b"", headers=(), kind="application/json"):
        h.send_response(status)
        h.send_header("Content-Type", kind)
        h.send_header("Content-Length", str(len(body)))
        for key, value in dict(headers).items():
            h.send_header(key, value)
        h.end_headers()
        if h.command != "HEAD":
            try:
                h.wfile.write(body)
            except OSError:
                h.close_connection = True


@dataclass
class Request:
    method: str
    path: str
    auth: str  # the Authorization header, or ""
    headers: dict
    form: str = ""


@dataclass
class Canned:
    """An answer that is given once, to a request with that in its path."""
    part: str
    status: int
    headers: dict = field(default_factory=dict)
    body: bytes = b"{}"


class AuthRegistry(Server):
    """
    Serves one image under any name and tag. Changed between pulls:

        scheme_of_login   None, "basic" or "bearer"
        users             name -> password; anonymous access as well if `anonymous`
        identity_tokens   what a POST to the token server is answered for
        token_uses        how many requests a token is good for
        canned            answers that are given first, each once
        lacks             404 for everything
        corrupt           "manifest", "config" or "layer": bytes that are not those of the digest
        elsewhere         base URL that blobs are redirected to
        ranges            how layers are resumed: "good", "none", "later" (a part behind the one
                          that was asked for), "earlier", "refused" (416)
        breaks            how often a layer's transfer breaks off in the middle
        on_request        called with each request
    """

    def __init__(self, image, context=None):
        self.image, self.requests, self.canned = image, [], []
        self.login, self.users, self.anonymous = None, {}, False
        self.identity_tokens, self.tokens, self.token_uses = set(), {}, None
        self.lacks, self.corrupt, self.elsewhere = False, None, None
        self.ranges, self.breaks, self.on_request = "good", 0, None
        self.lock = threading.Lock()
        super().__init__(context)

    # What the tests look at

    def paths(self, part="", method=None):
        return [r.path for r in self.requests
                if part in r.path and method in (None, r.method)]

    def logins(self):
        """The users that tokens or content were asked for by Basic authentication."""
        return [base64.b64decode(r.auth[6:]).decode().split(":")[0]
                for r in self.requests if r.auth.startswith("Basic ")]

    # Answers

    def answer(self, h):
        length = int(h.headers.get("Content-Length", 0))
        form = h.rfile.read(length).decode() if length else ""
        request = Request(h.command, h.path, h.headers.get("Authorization", ""),
                          dict(h.headers), form)
        with self.lock:
            self.requests.append(request)
            canned = next((c for c in self.canned if c.part in h.path), None)
            if canned:
                self.canned.remove(canned)
        if self.on_request:
            self.on_request(request)
        if canned:
            self.send(h, canned.status, canned.body, canned.headers)
        elif h.path.startswith("/token"):
            self.answer_token(h, request)
        elif not self.is_allowed(request):
            self.send(h, 401, b"{}", {"WWW-Authenticate": self.challenge()})
        else:
            self.answer_content(h)

    def challenge(self):
        if self.login == "basic":
            return 'Basic realm="test"'
        return f'Bearer realm="{self.url}/token",service="test"'

    def is_user(self, auth):
        if not auth.startswith("Basic "):
            return False
        user, _, password = base64.b64decode(auth[6:]).decode().partition(":")
        return self.users.get(user) == password

    def is_allowed(self, request):
        if self.login is None:
            return True
        if self.login == "basic":
            return self.is_user(request.auth)
        with self.lock:
            token = request.auth.removeprefix("Bearer ")
            if self.tokens.get(token, 0) == 0:
                return False
            self.tokens[token] -= 1
            return True

    def answer_token(self, h, request):
        form = urllib.parse.parse_qs(request.form)
        if request.method == "POST":
            good = form.get("grant_type") == ["refresh_token"] and \
                form.get("refresh_token", [""])[0] in self.identity_tokens
        else:
            good = self.is_user(request.auth) or (self.anonymous and not request.auth)
        if not good:
            self.send(h, 401, b'{"details": "no such account"}')
            return
        with self.lock:
            token = f"token-{len(self.tokens)}"
            self.tokens[token] = self.token_uses or 1 << 30
        key = "access_token" if request.method == "POST" else "token"
        self.send(h, 200, json.dumps({key: token, "expires_in": 300}).encode())

    def answer_content(self, h):
        last = h.path.rsplit("/", 1)[1]
        data = self.image.blobs().get(last)
        if h.path == "/v2/":
            self.send(h, 200, b"{}")
        elif self.lacks:
            self.send(h, 404, b'{"errors": [{"code": "NAME_UNKNOWN"}]}')
        elif "/manifests/" in h.path:
            manifest = self.image.manifest
            if self.corrupt == "manifest":
                manifest = manifest.replace(b"}", b" }", 1)
            self.send(h, 200, manifest, {"Docker-Content-Digest": self.image.digest},
                      oci.OCI_MANIFEST)
        elif data is None:
            self.send(h, 404, b'{"errors": [{"code": "BLOB_UNKNOWN"}]}')
        elif self.elsewhere:
            self.send(h, 307, b"", {"Location": f"{self.elsewhere}{h.path}"})
        else:
            self.answer_blob(h, last, data)

    def answer_blob(self, h, name, data):
        is_layer = any(layer.digest == name for layer in self.image.layers)
        if self.corrupt == ("layer" if is_layer else "config"):
            data = data[:-1] + bytes([data[-1] ^ 1])
        wanted = h.headers.get("Range")
        with self.lock:
            breaks = is_layer and self.breaks > 0
            self.breaks -= breaks
        if not is_layer or not wanted or self.ranges == "none":
            self.send_part(h, data, 0, breaks, {"ETag": f'"{name}"'})
        elif self.ranges == "refused":
            self.send(h, 416, b"{}")
        else:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            start += {"good": 0, "later": 1000, "earlier": -1000}[self.ranges]
            self.send_part(h, data, start, breaks, {
                "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, 206)

    def send_part(self, h, data, start, breaks, headers, status=200):
        if not breaks:
            self.send(h, status, data[start:], headers)
            return
        h.send_response(status)
        h.send_header("Content-Length", str(len(data) - start))
        for key, value in headers.items():
            h.send_header(key, value)
        h.end_headers()
        h.wfile.write(data[start:(start + len(data)) // 2])
        h.wfile.flush()
        h.connection.shutdown(socket.SHUT_RDWR)
        h.close_connection = True


class Proxy(Server):
    """
    A proxy for both kinds of HTTP; whatever host it is asked for, it goes to 127.0.0.1, and there
    to the port that `ports` has for the one that was asked for. With `upgrade` it answers plain
    HTTP as a web server does that wants to be talked to in HTTPS.
    """

    def __init__(self):
        self.asked, self.refuse, self.ports, self.upgrade = [], None, {}, False
        super().__init__()

    def answer(self, h):
        self.asked.append(f"{h.command} {h.path}")
        if self.refuse:
            self.send(h, self.refuse)
        elif h.command == "CONNECT":
            self.tunnel(h)
        elif self.upgrade:
            self.send(h, 301, b"", {"Location": h.path.replace("http:", "https:", 1)})
        else:
            self.forward(h)

    def connect(self, host):
        port = int(host.rsplit(":", 1)[1])
        return socket.create_connection(("127.0.0.1", self.ports.get(port, port)), LIMIT)

    def forward(self, h):
        url = urllib.parse.urlsplit(h.path)
        with self.connect(url.netloc) as s:
            path = url.path + ("?" + url.query if url.query else "")
            head = f"{h.command} {path} HTTP/1.1\r\n"
            head += "".join(f"{k}: {v}\r\n" for k, v in h.headers.items()
                            if not k.lower().startswith(("proxy-", "connection")))
            s.sendall(head.encode() + b"Connection: close\r\n\r\n")
            while data := s.recv(65536):
                h.wfile.write(data)
        h.close_connection = True

    def tunnel(self, h):
        with self.connect(h.path) as s:
            h.send_response(200)
            h.end_headers()
            back = threading.Thread(target=self.copy, args=(s, h.connection))
            back.start()
            self.copy(h.connection, s)
            back.join()
        h.close_connection = True

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
