"""
A Debian guest in a world of its own: package manager, git, downloads, TLS. All in one sandbox, because a guest of this
size takes its time to start under emulation.
"""
import gzip
import hashlib
import json
import os
import subprocess

import pytest

import oci
from harness import LIMIT, MSB, Home, Result, on_machine
from networld import ADDRESSES, DNS_GOOD, HERE, HOST4, PUBLIC4_OTHER, PYTHON

PACKAGES = ["apt", "base-files", "bash", "coreutils", "curl", "diffutils", "dpkg", "git", "grep", "iputils-ping", "libc-bin",
            "openssl", "python3-minimal", "libpython3-stdlib", "sed", "tar", "gzip", "perl-base", "debianutils", "ca-certificates"]
SITE = "site.test"


def image():
    """The Debian of the other tests with what deals with networks."""
    before = oci.PACKAGES, oci.UNWANTED
    oci.PACKAGES, oci.UNWANTED = PACKAGES, {"debconf"}
    try:
        return oci.debian()
    finally:
        oci.PACKAGES, oci.UNWANTED = before


class HostHome(Home):
    """msb in the namespace that is the host of the world."""

    def __init__(self, world, path):
        super().__init__(path)
        self.world = world

    def __call__(self, *args, stdin=b"", env=None, cwd=None):
        r = subprocess.run(self.world.host.command(MSB, *on_machine(args)), input=stdin, env=self.env(env), cwd=cwd,
                           capture_output=True, timeout=3 * LIMIT, check=False)
        return Result(args, r.returncode, r.stdout, r.stderr)


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, timeout=LIMIT, **options).stdout


def make_package(folder):
    """A repository with one package, greet, whose program says hello."""
    root = folder / "greet"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "usr/bin").mkdir(parents=True)
    (root / "DEBIAN/control").write_text("Package: greet\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@x.test>\n"
                                         "Description: says hello\n")
    (root / "usr/bin/greet").write_text("#!/bin/sh\necho hello from a package\n")
    (root / "usr/bin/greet").chmod(0o755)
    pool = folder / "site/debian"
    pool.mkdir(parents=True)
    run("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", str(root), str(pool / "greet.deb"))
    data = (pool / "greet.deb").read_bytes()
    control = (root / "DEBIAN/control").read_text()
    packages = (f"{control}Filename: ./greet.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n").encode()
    (pool / "Packages").write_bytes(packages)
    (pool / "Packages.gz").write_bytes(gzip.compress(packages))


def make_repository(folder):
    work = folder / "work"
    work.mkdir()
    env = {**os.environ, "GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@x.test", "GIT_COMMITTER_NAME": "x",
           "GIT_COMMITTER_EMAIL": "x@x.test", "GIT_CONFIG_GLOBAL": "/dev/null"}
    run("git", "init", "-q", "-b", "main", str(work))
    (work / "README").write_text("cloned\n")
    run("git", "-C", str(work), "add", "README", env=env)
    run("git", "-C", str(work), "commit", "-q", "-m", "first", env=env)
    run("git", "clone", "-q", "--bare", str(work), str(folder / "site/repo.git"), env=env)
    run("git", "-C", str(folder / "site/repo.git"), "update-server-info", env=env)


def make_certificate(folder):
    """A CA, and a certificate of it for the site."""
    ca, key = str(folder / "ca.pem"), str(folder / "ca.key")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test CA", "-keyout", key, "-out", ca)
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={SITE}", "-keyout", str(folder / "site.key"), "-out",
        str(folder / "site.csr"))
    (folder / "ext").write_text(f"subjectAltName=DNS:{SITE}\n")
    run("openssl", "x509", "-req", "-in", str(folder / "site.csr"), "-CA", ca, "-CAkey", key, "-CAcreateserial", "-days", "2",
        "-extfile", str(folder / "ext"), "-out", str(folder / "site.pem"))


@pytest.fixture(scope="module")
def site(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sites")
    make_package(folder)
    make_repository(folder)
    make_certificate(folder)
    (folder / "site/blob").write_bytes(os.urandom(3 << 20))
    p = world.world.popen(PYTHON, os.path.join(HERE, "netsites.py"), str(folder / "site"), PUBLIC4_OTHER, str(folder / "site.pem"),
                          str(folder / "site.key"), stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "ready\n"
    world.service.zone(DNS_GOOD, {SITE: [["A", PUBLIC4_OTHER, 60]], "bad.test": [["A", PUBLIC4_OTHER, 60]]})
    yield folder
    p.kill()
    p.wait(timeout=LIMIT)
    p.stdout.close()


@pytest.fixture(scope="module")
def host(world, site, tmp_path_factory):
    home = HostHome(world, tmp_path_factory.mktemp("home"))
    archive = oci.write_oci(str(tmp_path_factory.mktemp("image") / "debian.tar"), {"debian-net": image()})
    home("load", "-q", "-i", archive).ok()
    home("create", "-q", "-n", "box", "-m", "512M", "--deny-domain", "bad.test", "-p", f"{HOST4}:0:9000", "debian-net").ok()
    yield home
    home("rm", "-f", "-q", "box").ok()


def sh(host, script, rc=0):
    r = host("exec", "box", "--", "sh", "-c", script)
    assert r.rc == rc, r
    return r.out.decode() + r.err.decode()


def test_apt(host):
    sh(host, f"echo 'deb [trusted=yes] http://{SITE}:8000/debian ./' >/etc/apt/sources.list; rm -rf /etc/apt/sources.list.d/*; "
             "mkdir -p /var/lib/dpkg/info /var/lib/dpkg/updates /var/lib/apt/lists/partial /var/cache/apt/archives/partial "
             "/var/log/apt; touch /var/lib/dpkg/status")
    options = "-o APT::Sandbox::User=root -o Dir::Log::Terminal= -q"
    sh(host, f"apt-get {options} update")
    sh(host, f"PATH=$PATH:/usr/sbin:/sbin DEBIAN_FRONTEND=noninteractive apt-get {options} install -y greet")
    assert "hello from a package" in sh(host, "greet")


def test_git(host):
    assert "cloned" in sh(host, f"cd /tmp && git clone -q http://{SITE}:8000/repo.git && cat repo/README")


def test_download(host, site):
    code = (f"import urllib.request,hashlib;print(hashlib.sha256(urllib.request.urlopen("
            f"'http://{SITE}:8000/blob').read()).hexdigest())")
    want = hashlib.sha256((site / "site/blob").read_bytes()).hexdigest()
    assert sh(host, f'python3 -c "{code}"').strip() == want


def test_tls(host, site):
    host("cp", str(site / "ca.pem"), "box:/tmp/ca.pem").ok()
    assert "sha256" not in sh(host, f"curl -sS -m 60 --cacert /tmp/ca.pem -o /tmp/blob https://{SITE}:8443/blob")
    want = hashlib.sha256((site / "site/blob").read_bytes()).hexdigest()
    assert want in sh(host, "sha256sum /tmp/blob")
    found = sh(host, f"openssl s_client -connect {SITE}:8443 -servername {SITE} -CAfile /tmp/ca.pem </dev/null")
    assert "Verify return code: 0" in found


def test_ping(host):
    assert "1 received" in sh(host, f"ping -c 1 -W 30 {SITE}")


def test_denials(host):
    """At once, and in the log with the rule."""
    sh(host, f"curl -sS -m 60 http://bad.test:8000/", rc=6)
    sh(host, f"curl -sS -m 60 http://{ADDRESSES['private'][0]}/", rc=7)
    log = host("logs", "--source", "system", "box").ok().decode()
    assert "deny dns bad.test" in log and f"deny tcp {ADDRESSES['private'][0]}:80" in log


def test_published_port(world, host):
    port = json.loads(host("ps", "--format", "json").ok())[0]["ports"][0]["host_port"]
    assert port > 0
    server = host.world.host.popen(MSB, "exec", "box", "--", "python3", "-c",
                                   "import socket\ns=socket.create_server(('0.0.0.0',9000));print(flush=True)\n"
                                   "c,_=s.accept();c.sendall(b'inside');c.close()",
                                   env=host.env(), stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"\n"
    r = world.world.run(PYTHON, "-c", "import socket,sys;print(socket.create_connection((sys.argv[1],int(sys.argv[2])),60).recv(99))",
                        HOST4, str(port))
    assert r.stdout == "b'inside'\n"
    assert server.wait(timeout=LIMIT) == 0
    server.stdout.close()


def test_stop_and_start(host):
    before = sh(host, "cat /proc/net/fib_trie | grep -c 172.16")
    host("stop", "-q", "box").ok()
    host("start", "-q", "box").ok()
    assert sh(host, "cat /proc/net/fib_trie | grep -c 172.16") == before
    assert "cloned" in sh(host, f"rm -rf /tmp/again; git clone -q http://{SITE}:8000/repo.git /tmp/again && cat /tmp/again/README")


def test_metrics(host):
    found = json.loads(host("metrics", "--format", "json", "box").ok())
    row = found[0] if isinstance(found, list) else found
    assert row["net_rx_bytes"] > 1000 and row["net_tx_bytes"] > 500
