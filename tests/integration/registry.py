"""Registries on the loopback interface: Debian's docker-registry, and one that misbehaves."""
import http.server
import json
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading

import oci
from harness import LIMIT, wait_for


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class DockerRegistry:
    """The real one, keeping its content in a directory."""

    def __init__(self, directory):
        program = shutil.which("docker-registry") or "/usr/bin/docker-registry"
        self.host = f"127.0.0.1:{free_port()}"
        config = os.path.join(directory, "config.yml")
        with open(config, "w", encoding="utf-8") as f:
            json.dump({  # which is YAML too
                "version": 0.1, "log": {"level": "error"},
                "storage": {"filesystem": {"rootdirectory": os.path.join(directory, "data")}},
                "http": {"addr": self.host},
            }, f)
        with open(os.path.join(directory, "log"), "wb") as log:
            self.process = subprocess.Popen([program, "serve", config], stdout=log, stderr=log)
        wait_for(self.answers, "docker-registry does not answer")

    def answers(self):
        host, port = self.host.split(":")
        assert self.process.poll() is None, "docker-registry ended"
        with socket.socket() as s:
            return s.connect_ex((host, int(port))) == 0

    def push(self, archive, reference, name, *options):
        """Copies an image of an OCI archive; returns its name for msb."""
        with tempfile.TemporaryDirectory() as layout:
            with tarfile.open(archive) as tar:  # skopeo would want to change the files' owner
                tar.extractall(layout)
            copy = subprocess.run(
                ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", *options,
                 f"oci:{layout}:{reference}", f"docker://{self.host}/{name}"],
                capture_output=True, timeout=LIMIT, check=False)
        assert copy.returncode == 0, copy.stderr
        return f"{self.host}/{name}"

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=LIMIT)


class FakeRegistry:
    """
    Serves one image under any name and tag, does one thing wrong if told so, and keeps a list of
    the requests. `fault` is changed between pulls:

        401 404 500         that status for everything
        no-blob             404 for layers
        wrong-digest        a layer of the right size with a flipped bit
        long, short         a layer with a byte too many, or one less than the manifest says
        truncated           the connection breaks off in the middle of a layer
        bad-manifest        a manifest that is no JSON
        huge-manifest       a manifest without end
        token               asks for a bearer token first (this is no fault)
        bad-token           the same, and then refuses to give one
        redirect            blobs are elsewhere (no fault either)
        loop                redirects to itself for ever
        html                200 with a web page for everything
    """

    def __init__(self, image, index=None):
        self.image, self.index, self.fault, self.requests = image, index, None, []
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_HEAD(self):
                registry.answer(self)

            def do_GET(self):
                registry.answer(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def blob_requests(self):
        return [path for path in self.requests if "/blobs/" in path]

    def answer(self, h):
        self.requests.append(h.path)
        if h.path.startswith("/token"):
            self.answer_token(h)
        elif self.fault in ("401", "404", "500"):
            self.send(h, int(self.fault), b'{"errors": [{"message": "told to"}]}')
        elif self.fault == "html":
            self.send(h, 200, b"<html><body>Welcome to the hotel network</body></html>",
                      "text/html")
        elif self.fault in ("token", "bad-token") and \
                h.headers.get("Authorization") != "Bearer let-me-in":
            self.send(h, 401, b"{}", WWW_Authenticate=f'Bearer realm="http://{self.host}/token",'
                                                      'service="test",scope="repository:x:pull"')
        elif h.path == "/v2/":
            self.send(h, 200, b"{}")
        elif "/manifests/" in h.path:
            self.answer_manifest(h, h.path.rsplit("/", 1)[1])
        elif "/blobs/" in h.path:
            self.answer_blob(h, h.path.rsplit("/", 1)[1])
        else:
            self.send(h, 404, b"{}")

    def answer_token(self, h):
        if self.fault == "bad-token":
            self.send(h, 403, b'{"details": "no such account"}')
        else:
            self.send(h, 200, b'{"token": "let-me-in", "expires_in": 300}')

    def answer_manifest(self, h, reference):
        if self.fault == "bad-manifest":
            self.send(h, 200, b'{"schemaVersion": 2, "layers": [', oci.OCI_MANIFEST)
        elif self.fault == "huge-manifest":
            self.send(h, 200, b'{"x": "' + b"x" * (64 << 20) + b'"}', oci.OCI_MANIFEST)
        elif self.index and reference != self.image.digest:
            self.send(h, 200, self.index, oci.OCI_INDEX,
                      Docker_Content_Digest=oci.digest(self.index))
        else:
            self.send(h, 200, self.image.manifest, oci.OCI_MANIFEST,
                      Docker_Content_Digest=self.image.digest)

    def answer_blob(self, h, name):
        data = self.image.blobs().get(name)
        is_layer = any(layer.digest == name for layer in self.image.layers)
        if data is None or (is_layer and self.fault == "no-blob"):
            self.send(h, 404, b'{"errors": [{"code": "BLOB_UNKNOWN"}]}')
        elif self.fault == "loop" or (self.fault == "redirect" and "elsewhere" not in h.path):
            folder = "/v2" if self.fault == "loop" else "/v2/elsewhere"
            self.send(h, 307, b"", Location=f"http://{self.host}{folder}/x/blobs/{name}")
        elif is_layer and self.fault == "wrong-digest":
            self.send(h, 200, data[:-1] + bytes([data[-1] ^ 1]))
        elif is_layer and self.fault == "long":
            self.send(h, 200, data + b"x")
        elif is_layer and self.fault == "short":
            self.send(h, 200, data[:-1])
        elif is_layer and self.fault == "truncated":
            h.send_response(200)
            h.send_header("Content-Length", str(len(data)))
            h.end_headers()
            h.wfile.write(data[:len(data) // 2])
            h.wfile.flush()
            h.connection.shutdown(socket.SHUT_RDWR)
            h.close_connection = True
        else:
            self.send(h, 200, data)

    def send(self, h, status, body, kind="application/octet-stream", **headers):
        h.send_response(status)
        h.send_header("Content-Type", kind)
        h.send_header("Content-Length", str(len(body)))
        for key, value in headers.items():
            h.send_header(key.replace("_", "-"), value)
        h.end_headers()
        if h.command == "GET":
            try:
                h.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                h.close_connection = True  # the client has seen enough
