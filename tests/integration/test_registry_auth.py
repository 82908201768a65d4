"""Logins, credentials, configuration, mirrors, proxies, certificates, and retries of registries."""
import base64
import json
import os
import stat

import pytest

import auth_registry
import harness
import registry
from auth_registry import AuthRegistry, Canned
from harness import Terminal


@pytest.fixture
def servers():
    """Keeps servers until the end of a test."""
    started = []

    def keep(server):
        started.append(server)
        return server
    yield keep
    for server in started:
        server.stop()


@pytest.fixture
def reg(servers, small):
    return servers(AuthRegistry(small))


@pytest.fixture
def private(reg):
    """A registry that gives nothing without a token for one of its users."""
    reg.login, reg.users = "bearer", {"alice": "wonder:land", "bob": "builder", "carol": "xmas"}
    return reg


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return auth_registry.Certificates(str(tmp_path_factory.mktemp("ca")))


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Writes Docker's configuration; there is none at first."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))

    def write(content):
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "config.json").write_text(text)
    return write


@pytest.fixture(autouse=True)
def nothing_from_outside(docker, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """Installs a credential helper, a shell script."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def install(name, script):
        path = folder / f"docker-credential-{name}"
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
    return install


def configure(home, content):
    os.makedirs(home.path, exist_ok=True)
    with open(os.path.join(home.path, "config.json"), "w", encoding="utf-8") as f:
        f.write(content if isinstance(content, str) else json.dumps({"registries": content}))


def login(home, host, user, password, *options):
    return home("registry", "login", host, "-u", user, "--password-stdin", *options,
                stdin=password.encode())


def basic(user, password):
    return base64.b64encode(f"{user}:{password}".encode()).decode()


# --- logins ------------------------------------------------------------------------------------


def test_htpasswd_registry(fresh, tmp_path, archives):
    """Basic authentication of a real registry, from login to logout."""
    real = auth_registry.HtpasswdRegistry(str(tmp_path))
    try:
        name = real.push(archives["busybox"], "busybox", "test/busybox:v1",
                         "--dest-creds", "tester:secret")
        assert "registry login" in fresh("pull", name).err.decode()
        login(fresh, real.host, "tester", "wrong").failed(1, "refuses the login of 'tester'")
        assert fresh("registry", "ls").text() == "No registries configured.\n"
        r = login(fresh, real.host, "tester", "secret\r\n")
        assert (r.rc, r.out) == (0, b"") and f"✓ Logged in    {real.host}" in r.err.decode(), r
        fresh("pull", name).ok()
        r = fresh("registry", "logout", real.host)
        assert f"✓ Logged out   {real.host}" in r.err.decode(), r
        fresh("pull", "-f", name).failed(1, "denies access")
    finally:
        real.stop()


def test_bearer_tokens(fresh, private):
    name = private.host + "/some/image"
    fresh("pull", name).failed(1, "denies access to 'some/image'")
    private.requests.clear()
    fresh("pull", "-u", "alice", "--password-stdin", name, stdin=b"wonder:land\n").ok()
    assert private.logins() == ["alice"]
    token = private.paths("/token")
    assert len(token) == 1 and "scope=repository:some/image:pull" in token[0]
    assert "service=test" in token[0]
    fresh("pull", "-u", "alice", "--password-stdin", name, stdin=b"bad").failed(1, "denies access")
    assert fresh("registry", "ls", "-q").ok() == b""


def test_token_that_ends_in_the_middle(fresh, private):
    private.token_uses = 1
    assert login(fresh, private.host, "alice", "wonder:land").rc == 0
    private.requests.clear()
    fresh("pull", private.host + "/x").ok()
    assert len(private.paths("/token")) > 2


def test_second_pull_is_one_request(fresh, reg):
    fresh("pull", reg.host + "/x").ok()
    reg.requests.clear()
    assert b"already cached" in fresh("pull", reg.host + "/x").err
    assert [(r.method, r.path) for r in reg.requests] == [("HEAD", "/v2/x/manifests/latest")]


def test_login_is_checked(fresh, private):
    login(fresh, private.host, "alice", "wrong").failed(1, "refuses the login of 'alice'")
    assert fresh("registry", "ls", "-q").ok() == b""
    login(fresh, private.host, "alice", "wrong", "--no-verify").ok()
    assert fresh("registry", "ls", "-q").text().split() == [private.host]
    private.canned = [Canned("/v2/", 404)]
    login(fresh, private.host, "alice", "wonder:land").failed(1, "404")
    login(fresh, private.host, "alice", "wonder:land").ok()
    fresh("pull", private.host + "/x").ok()


def test_login_to_a_registry_that_is_down(fresh):
    host = f"127.0.0.1:{registry.free_port()}"
    r = login(fresh, host, "alice", "pw")
    assert r.rc == 0 and b"stored without a check" in r.err, r
    listed = json.loads(fresh("registry", "ls", "--format", "json").ok())
    assert listed == [{"registry": host, "username": "alice", "source": "file"}]


@pytest.mark.parametrize("args, stdin, rc, saying", [
    (["-u", "x", "--password-stdin", "r.io"], b"", 1, "password/token cannot be empty"),
    (["-u", "x", "--password-stdin", "r.io"], b"\r\n\n", 1, "password/token cannot be empty"),
    (["-u", "x", "--password-stdin", "r.io"], b"a\0b", 1, "NUL"),
    (["-u", "x", "--password-stdin", "r.io"], b"x" * 70000, 1, "too long"),
    (["-u", "x", "r.io"], b"pw", 2, "--password-stdin"),
    (["-u", "a:b", "--password-stdin", "r.io"], b"pw", 2, "colon"),
    (["--password-stdin", "r.io"], b"pw", 2, "--username"),
    (["-u", "x", "--password-stdin", "not a host"], b"pw", 1, "not the name of a registry"),
    (["-u", "x", "--password-stdin", "--ca-certs", "/none", "r.io"], b"pw", 1, "/none"),
])
def test_bad_logins(fresh, args, stdin, rc, saying):
    fresh("registry", "login", *args, stdin=stdin).failed(rc, saying)
    assert fresh("registry", "ls", "-q").ok() == b""


def test_password_at_the_terminal(fresh, private):
    fresh("ls").ok()
    t = Terminal(fresh, "registry", "login", "-u", "bob", private.host)
    try:
        t.expect(b"Password/token: ")
        t.write(b"builder\n")
        status, output = t.wait()
        assert status == 0 and b"builder" not in output
        assert t.settings() == t.before
    finally:
        t.close()
    fresh("pull", "-q", private.host + "/x").ok()
    t = Terminal(fresh, "registry", "login", "-u", "bob", private.host)
    try:
        t.expect(b"Password/token: ")
        t.write(b"buil\x03")
        assert t.wait()[0] == -harness.signal.SIGINT
        assert t.settings() == t.before
    finally:
        t.close()


def test_logout_of_nothing(fresh):
    r = fresh("registry", "logout", "r.io")
    assert r.rc == 0 and r.err.startswith(b"warn: "), r
    assert fresh("regs").text() == "No registries configured.\n"


def test_list_of_logins(fresh, monkeypatch):
    monkeypatch.setenv("TEST_PASSWORD", "x")
    for host in ("z.io", "index.docker.io", "https://a.io/"):
        login(fresh, host, "me", "pw", "--no-verify").ok()
    configure(fresh, {"hosts": {
        "a.io": {"auth": {"username": "other", "password_env": "TEST_PASSWORD"}},
        "b.io": {"auth": {"username": "bob", "password_env": "TEST_PASSWORD"}},
        "c.io": {"auth": {"username": "carol", "password_env": "TEST_NOT_SET"}},
        "d.io": {"auth": {"username": "dave", "store": "file"}},
        "e.io": {"insecure": True},
        "z.io": {"auth": {"username": "me", "store": "file"}}}})
    rows = [line.split() for line in fresh("registry", "ls").text().splitlines()]
    assert rows == [["REGISTRY", "USERNAME", "SOURCE"], ["a.io", "me", "multiple"],
                    ["b.io", "bob", "password_env"], ["c.io", "carol", "unset"],
                    ["d.io", "dave", "unset"], ["docker.io", "me", "file"],
                    ["z.io", "me", "file"]]


def test_store_is_private(fresh, private):
    login(fresh, private.host, "alice", "wonder:land").ok()
    path = os.path.join(fresh.path, "credentials.json")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    os.chmod(path, 0o640)
    r = fresh("pull", private.host + "/x")
    r.failed(1, "others than its owner")
    assert f"chmod 600 {path}".encode() in r.err
    login(fresh, "r.io", "x", "y", "--no-verify").failed(1, "others than its owner")


def test_secrets_stay_secret(fresh, private):
    """Nothing that others can look at, or that is printed, has the password in it."""
    seen = []

    def look(_):
        for pid in harness.below(os.getpid(), "msb", "msb-image"):
            for file in ("cmdline", "environ"):
                with open(f"/proc/{pid}/{file}", "rb") as f:
                    seen.append(f.read())
    private.on_request = look
    r = login(fresh, private.host, "alice", "wonder:land")
    seen += [r.out, r.err]
    r = fresh("pull", private.host + "/x", env={"MSB_DEBUG": "1"})
    r.ok()
    private.on_request = None
    private.users = {}
    seen += [r.out, r.err, fresh("pull", private.host + "/x").err]
    assert any(b"msb-image\0pull" in text for text in seen)
    assert not any(b"wonder" in text or b"token-" in text for text in seen)
    with open(os.path.join(fresh.path, "db", "msb.db"), "rb") as f:
        assert b"wonder" not in f.read()


# --- where logins come from --------------------------------------------------------------------


def test_order_of_lookup(fresh, private, docker, monkeypatch):
    name = private.host + "/x"

    def user_of_pull(*args, **kw):
        private.requests.clear()
        fresh("pull", "-f", *args, name, **kw).ok()
        return set(private.logins())
    private.anonymous = True
    assert user_of_pull() == set()
    docker({"auths": {private.host: {"auth": basic("carol", "xmas")}}})
    assert user_of_pull() == {"carol"}
    monkeypatch.setenv("TEST_PASSWORD", "builder")
    configure(fresh, {"hosts": {private.host: {
        "auth": {"username": "bob", "password_env": "TEST_PASSWORD"}}}})
    assert user_of_pull() == {"bob"}
    login(fresh, private.host, "alice", "wonder:land").ok()
    assert user_of_pull() == {"alice"}
    assert user_of_pull("-u", "carol", "--password-stdin", stdin=b"xmas") == {"carol"}


def test_variable_that_is_not_set(fresh, private):
    private.anonymous = True
    configure(fresh, {"hosts": {private.host: {
        "auth": {"username": "bob", "password_env": "TEST_NOT_SET"}}}})
    r = fresh("pull", private.host + "/x")
    assert r.rc == 0 and b"warn: the variable 'TEST_NOT_SET'" in r.err, r


@pytest.mark.parametrize("entry", [
    {"auth": basic("alice", "wonder:land")},
    {"username": "alice", "password": "wonder:land"},
])
@pytest.mark.parametrize("key", ["{}", "https://{}", "http://{}/v2/"])
def test_docker_logins(fresh, private, docker, entry, key):
    docker({"auths": {"other.io": {"auth": "bad"}, key.format(private.host): entry}})
    fresh("pull", private.host + "/x").ok()
    assert private.logins() == ["alice"]


def test_docker_identity_token(fresh, private, docker):
    private.identity_tokens = {"id&ty"}
    docker({"auths": {private.host: {"auth": basic("x", ""), "identitytoken": "id&ty"}}})
    fresh("pull", private.host + "/x").ok()
    assert private.paths("/token", "POST") == ["/token"] and private.logins() == []
    private.identity_tokens = set()
    fresh("pull", private.host + "/x").failed(1, "denies access")


@pytest.mark.parametrize("content", [
    lambda host: {"credHelpers": {host: "test"}},
    lambda host: {"credsStore": "test", "auths": {host: {}}},
    lambda host: {"credsStore": "other", "credHelpers": {host: "test"}},
])
def test_credential_helper(fresh, private, docker, helper, content):
    docker(content(private.host))
    helper("test", f'[ "$1" = get ] && [ "$(cat)" = {private.host} ] || exit 1\n'
                   'echo \'{"ServerURL": "x", "Username": "bob", "Secret": "builder"}\'')
    fresh("pull", private.host + "/x").ok()
    assert private.logins() == ["bob"]


def test_identity_token_of_a_helper(fresh, private, docker, helper):
    private.identity_tokens = {"abc"}
    docker({"credsStore": "test"})
    helper("test", 'echo \'{"Username": "<token>", "Secret": "abc"}\'')
    fresh("pull", private.host + "/x").ok()


@pytest.mark.parametrize("content, saying", [
    ({"credsStore": "missing"}, "is not installed"),
    ({"credsStore": "../x"}, "bad name"),
    ({"credsStore": "fails"}, "failed with status 3"),
    ({"credsStore": "babbles"}, "does not answer with a login"),
    ('{"auths": {\n"x": {"auth": "c2VjcmV0"},}', "line 2"),
    ({"auths": {"HOST": {"auth": "%%%%"}}}, "is damaged"),
])
def test_broken_docker_configuration_is_a_warning(fresh, private, docker, helper, content, saying):
    helper("fails", "exit 3\n")
    helper("babbles", "yes\n")
    if isinstance(content, dict):
        content = json.dumps(content).replace("HOST", private.host)
    docker(content)
    private.anonymous = True
    r = fresh("pull", private.host + "/x")
    warnings = [line for line in r.err.decode().splitlines() if line.startswith("warn: ")]
    assert r.rc == 0 and len(warnings) == 1 and saying in warnings[0], r
    assert "c2VjcmV0" not in r.err.decode()


def test_helper_that_knows_nothing(fresh, private, docker, helper):
    docker({"credsStore": "test"})
    helper("test", "echo credentials not found in native keychain; exit 1\n")
    private.anonymous = True
    r = fresh("pull", private.host + "/x")
    assert r.rc == 0 and b"warn" not in r.err, r


# --- the configuration file --------------------------------------------------------------------


@pytest.mark.parametrize("text, saying", [
    ('{"registries": {\n"hosts": {\n]}}', "line 3"),
    ('{"registries": {"host": {}}}', "unknown key 'host'"),
    ('{"registries": {"hosts": {"r.io": {"mirror": []}}}}', "unknown key 'mirror'"),
    ('{"registries": {"hosts": {"r.io": {"insecure": "yes"}}}}', "'insecure' must be"),
    ('{"registries": {"hosts": {"r.io": {"mirrors": ["a b"]}}}}', "bad mirror 'a b'"),
    ('{"registries": {"ca_certs": "none.pem"}}', "none.pem"),
])
def test_wrong_configuration(fresh, reg, text, saying):
    configure(fresh, text)
    r = fresh("pull", reg.host + "/x")
    r.failed(1, saying)
    assert os.path.join(fresh.path, saying if saying == "none.pem" else "config.json") in \
        r.err.decode()
    assert reg.requests == []


def test_configuration_elsewhere(fresh, reg, tmp_path):
    path = tmp_path / "other.json"
    env = {"MSB_CONFIG_PATH": str(path)}
    fresh("pull", reg.host + "/x", env=env).failed(1, str(path))
    path.write_text('{"log_level": "debug", "registries": {}}')
    fresh("pull", reg.host + "/x", env=env).ok()


# --- mirrors -----------------------------------------------------------------------------------


def mirror_test(fresh, host, *mirrors):
    configure(fresh, {"hosts": {host: {"mirrors": list(mirrors)}}})
    return host + "/some/image"


def test_mirror_is_used(fresh, servers, reg, small):
    mirror = servers(AuthRegistry(small))
    name = mirror_test(fresh, reg.host, mirror.host + "/cache")
    fresh("pull", name).ok()
    assert reg.requests == []
    assert set(p.split("/")[2] for p in mirror.paths()) == {"cache"}
    assert "/v2/cache/some/image/manifests/latest" in mirror.paths()
    assert fresh.images() == [name]


@pytest.mark.parametrize("fault", ["down", "lacks", "manifest", "config", "layer", "denies", "500"])
def test_mirror_that_is_no_good(fresh, servers, reg, small, fault):
    """The registry itself makes up for it."""
    mirror = servers(AuthRegistry(small))
    host = mirror.host
    if fault == "down":
        host = f"127.0.0.1:{registry.free_port()}"
    elif fault == "lacks":
        mirror.lacks = True
    elif fault == "denies":
        mirror.login = "basic"
    elif fault == "500":
        mirror.canned = [Canned("/manifests/", 500)] * 4
    else:
        mirror.corrupt = fault
    name = mirror_test(fresh, reg.host, host, f"http://{host}/again/")
    r = fresh("pull", name, env={"MSB_DEBUG": "1"})
    assert r.rc == 0 and b"mirror" in r.err, r
    assert reg.requests != []
    assert b"already cached" in fresh("pull", name).err


def test_blobs_from_a_mirror_that_has_some(fresh, servers, reg, small):
    mirror = servers(AuthRegistry(small))
    mirror.canned = [Canned(small.layers[0].digest, 404)]
    fresh("pull", mirror_test(fresh, reg.host, mirror.host)).ok()
    assert reg.paths("/blobs/") == ["/v2/some/image/blobs/" + small.layers[0].digest]
    assert reg.paths("/manifests/") == []


def test_layer_begun_by_a_mirror(fresh, servers, reg, small):
    """What the mirror gave is not fetched again."""
    mirror = servers(AuthRegistry(small))
    mirror.breaks = 2
    fresh("pull", mirror_test(fresh, reg.host, mirror.host)).ok()
    assert mirror.breaks == 0
    assert [r.headers["Range"] for r in reg.requests] == \
        [f"bytes={len(small.layers[0].blob) * 3 // 4}-"]


def test_all_fail(fresh, servers, reg, small):
    """The error is about the registry, and mentions the mirror."""
    mirror = servers(AuthRegistry(small))
    mirror.lacks = reg.lacks = True
    error = fresh("pull", mirror_test(fresh, reg.host, mirror.host)).failed(1, "has no manifest")
    assert error.index(f"'{reg.host}' has no") < error.index(f"the mirror '{mirror.host}'")


def test_logins_do_not_meet(fresh, servers, private, small):
    mirror = servers(AuthRegistry(small))
    mirror.login, mirror.users, mirror.lacks = "basic", {"mirror-user": "pw"}, True
    login(fresh, mirror.host, "mirror-user", "pw").ok()
    login(fresh, private.host, "alice", "wonder:land").ok()
    mirror.requests.clear()
    private.requests.clear()
    fresh("pull", mirror_test(fresh, private.host, mirror.host)).ok()
    assert set(mirror.logins()) == {"mirror-user"} and set(private.logins()) == {"alice"}
    assert not any("Bearer" in r.auth for r in mirror.requests)


# --- redirects and certificates ----------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_redirect_takes_no_credentials_along(fresh, servers, private, small, scheme):
    storage = servers(AuthRegistry(small))
    private.login, private.elsewhere = scheme, storage.url
    login(fresh, private.host, "alice", "wonder:land").ok()
    fresh("pull", private.host + "/x").ok()
    assert len(storage.paths("/blobs/")) == 2
    assert [r.auth for r in storage.requests] == ["", ""]
    assert all(r.auth for r in private.requests if "/blobs/" in r.path)


def test_redirect_and_back_again(fresh, servers, private, small):
    """The other place could send the credentials anywhere in the registry."""
    storage = servers(AuthRegistry(small))
    private.elsewhere, storage.elsewhere = storage.url, private.url + "/v2/stolen"
    login(fresh, private.host, "alice", "wonder:land").ok()
    fresh("pull", private.host + "/x").failed(1, "")
    assert private.paths("/stolen/") != []
    assert not any(r.auth for r in private.requests if "/stolen/" in r.path)


def test_redirect_of_a_token_request(fresh, servers, private, small):
    other = servers(AuthRegistry(small))
    private.canned = [Canned("/token", 307, {"Location": other.url + "/token"})]
    fresh("pull", "-u", "alice", "--password-stdin", private.host + "/x", stdin=b"wonder:land") \
        .failed(1, "denies access")
    assert [r.auth for r in other.requests] == [""]


def test_no_way_back_from_https(fresh, servers, small, certificates):
    plain = servers(AuthRegistry(small))
    secure = servers(AuthRegistry(small, certificates.context()))
    secure.elsewhere = plain.url
    fresh("pull", "--ca-certs", certificates.ca, secure.name + "/x").failed(1, "not allowed")
    assert plain.requests == []


def test_certificates(fresh, servers, small, certificates, tmp_path):
    server = servers(AuthRegistry(small, certificates.context()))
    name = server.name + "/x"
    error = fresh("pull", name)
    error.failed(1, "is not trusted")
    assert b"--ca-certs" in error.err
    (tmp_path / "empty").write_text("")
    (tmp_path / "bad").write_text("-----BEGIN CERTIFICATE-----\nbad\n-----END CERTIFICATE-----\n")
    for file in ("empty", "missing", "bad", "."):
        fresh("pull", "--ca-certs", str(tmp_path / file), name).failed(1, "certificates")
    fresh("run", "--ca-certs", str(tmp_path / "empty"), name).failed(1, "certificates")
    assert server.requests == []
    fresh("pull", "-f", "--ca-certs", certificates.ca, name).ok()
    with open(certificates.ca, encoding="utf-8") as f:
        text = f.read()
    os.makedirs(fresh.path, exist_ok=True)
    with open(os.path.join(fresh.path, "own.pem"), "w", encoding="utf-8") as f:
        f.write(text)
    for content in ({"ca_certs": "own.pem"},
                    {"hosts": {server.name: {"ca_certs": certificates.ca}}}):
        configure(fresh, content)
        fresh("pull", "-f", name).ok()
    configure(fresh, {"hosts": {"other.io": {"ca_certs": certificates.ca}}})
    fresh("pull", "-f", name).failed(1, "is not trusted")
    fresh("pull", "-f", name, env={"SSL_CERT_FILE": certificates.ca}).ok()
    # With further authorities those of the variable still count.
    other = auth_registry.Certificates(str(tmp_path))
    fresh("pull", "-f", "--ca-certs", other.ca, name,
          env={"SSL_CERT_FILE": certificates.ca}).ok()


def test_tls_on_this_host(fresh, servers, small, certificates):
    """Plain HTTP is tried first there, but is no must."""
    server = servers(AuthRegistry(small, certificates.context()))
    fresh("pull", "--ca-certs", certificates.ca, server.host + "/x").ok()


def test_insecure(fresh, servers, small):
    server = servers(AuthRegistry(small))
    name = server.name + "/x"
    fresh("pull", name).failed(1, "--insecure")
    assert server.requests == []
    fresh("pull", "--insecure", name).ok()
    configure(fresh, {"hosts": {server.name.upper(): {"insecure": True}}})
    fresh("pull", "-f", name).ok()


# --- proxies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_plain_proxy(fresh, servers, reg, variable):
    proxy = servers(auth_registry.Proxy())
    fresh("pull", "--insecure", reg.name + "/x", env={variable: proxy.url}).ok()
    assert f"HEAD http://{reg.name}/v2/x/manifests/latest" in proxy.asked


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY"])
def test_connect_proxy(fresh, servers, small, certificates, variable):
    proxy = servers(auth_registry.Proxy())
    server = servers(AuthRegistry(small, certificates.context()))
    name, env = server.name + "/x", {variable: proxy.url}
    fresh("pull", "--ca-certs", certificates.ca, name, env=env).ok()
    assert set(proxy.asked) == {f"CONNECT {server.name}"}
    proxy.asked.clear()
    for exception in ("NO_PROXY", "no_proxy"):
        fresh("pull", "-f", "--ca-certs", certificates.ca, name,
              env={**env, exception: auth_registry.NAME}).ok()
    fresh("pull", "-f", "--ca-certs", certificates.ca, server.host + "/x", env=env).ok()
    assert proxy.asked == []  # nor for this host's own
    for status in (403, 407):
        proxy.refuse = status
        fresh("pull", "-f", "--ca-certs", certificates.ca, name, env=env).failed(1, "the proxy")
    assert len(proxy.asked) == 2


def test_plain_http_that_leads_to_https(fresh, servers, small, certificates):
    """It is the same registry: the login goes along, over TLS."""
    proxy = servers(auth_registry.Proxy())
    server = servers(AuthRegistry(small, certificates.context()))
    proxy.upgrade, proxy.ports = True, {443: server.port}
    server.login, server.users = "basic", {"alice": "wonder:land"}
    fresh("pull", "--insecure", "--ca-certs", certificates.ca, "-u", "alice", "--password-stdin",
          auth_registry.NAME + "/x", stdin=b"wonder:land",
          env={"http_proxy": proxy.url, "https_proxy": proxy.url}).ok()
    plain = [line for line in proxy.asked if not line.startswith("CONNECT")]
    assert len(plain) == 1 and set(server.logins()) == {"alice"}


# --- failures that pass ------------------------------------------------------------------------


@pytest.mark.parametrize("status, headers", [
    (500, {}), (503, {"Retry-After": "0"}), (429, {"Retry-After": "1"}), (408, {}),
    (429, {"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT"}),
])
@pytest.mark.parametrize("part", ["/manifests/", "/blobs/"])
def test_failures_that_pass(fresh, reg, part, status, headers):
    reg.canned = [Canned(part, status, headers)]
    fresh("pull", reg.host + "/x").ok()
    assert reg.canned == []


def test_mirror_that_asks_to_wait(fresh, servers, reg, small):
    """Somebody else is asked meanwhile."""
    mirror = servers(AuthRegistry(small))
    mirror.canned = [Canned("/manifests/", 429, {"Retry-After": "20"})]
    fresh("pull", mirror_test(fresh, reg.host, mirror.host)).ok()
    assert len(mirror.requests) == 1 and len(reg.paths("/blobs/")) == 2


@pytest.mark.parametrize("status", [400, 405])
def test_registry_without_head(fresh, reg, status):
    reg.canned = [Canned("/manifests/", status)]
    fresh("pull", reg.host + "/x").ok()
    assert [r.method for r in reg.requests if "/manifests/" in r.path][:2] == ["HEAD", "GET"]


def test_token_server_with_a_failure_that_passes(fresh, private):
    private.canned = [Canned("/token", 503)]
    private.anonymous = True
    fresh("pull", private.host + "/x").ok()


@pytest.mark.parametrize("status", [400, 404, 410, 418])
def test_failures_that_stay(fresh, reg, status):
    reg.canned = [Canned("/blobs/", status)] * 9
    fresh("pull", reg.host + "/x").failed(1, "")
    assert len(reg.paths("/blobs/")) == 1


def test_rate_limit(fresh, reg):
    """An hour is too long to wait; what the registry tells is passed on."""
    reg.canned = [Canned("/manifests/", 429, {
        "Retry-After": "3600", "RateLimit-Limit": "100;w=21600",
        "RateLimit-Remaining": "0;w=21600", "Docker-RateLimit-Source": "192.0.2.1"})]
    r = fresh("pull", reg.host + "/x")
    error = r.failed(1, "refuses more requests")
    assert "limit: 100 in 6 h, left: 0 in 6 h, counted for 192.0.2.1" in error
    assert "3600 s" in error and b"registry login" in r.err
    assert len(reg.requests) == 1


@pytest.mark.parametrize("ranges", ["good", "none", "later", "earlier", "refused"])
def test_broken_layers(fresh, reg, small, ranges):
    """However a server goes on with a layer, the content is right."""
    reg.breaks, reg.ranges = 1, ranges
    fresh("pull", reg.host + "/x").ok()
    resumed = [r for r in reg.requests if "Range" in r.headers]
    half = len(small.layers[0].blob) // 2
    assert [r.headers["Range"] for r in resumed] == [f"bytes={half}-"]
    assert resumed[0].headers["If-Range"] == f'"{small.layers[0].digest}"'


def test_wrong_size_is_noticed_early(fresh, reg, small):
    """Before the bytes are taken for a layer."""
    reg.canned = [Canned(small.layers[0].digest, 200, body=b"x" * 100)]
    fresh("pull", reg.host + "/x").failed(1, "does not have the size that the manifest says")
