"""Sandboxes described by files; what is taken and what is refused in detail is for unit tests."""
import json

import pytest


@pytest.fixture
def conf(tmp_path):
    def write(text, name="sandbox.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)
    return write


def test_run_as_the_file_says(msb, conf):
    path = conf("""
image: busybox
memory: 256M
hostname: from-file
env: {VERSION: 3.10, WHO: "${SOMEBODY}"}
workdir: /cache
mounts:
  - tmpfs: {size: 3M}
    target: /cache
cmd: [sh, -c, 'hostname; echo $VERSION $WHO; pwd; df -k . | tail -1']
""")
    lines = msb("run", "--conf", path, env={"SOMEBODY": "me"}).text().splitlines()
    assert lines[:3] == ["from-file", "3.10 me", "/cache"]
    assert lines[3].split()[1] == "3072"


def test_command_line_wins(msb, conf, name):
    path = conf('{"image": "nowhere", "cpus": 2, "labels": {"a": "1", "b": "1"}, "env": {"A": 1}}',
                "sandbox.json")
    msb("create", "-q", "--conf", path, "--name", name, "-c", "1", "--label", "b=2", "-e", "A=2",
        "busybox").ok()
    details = json.loads(msb("inspect", "--format", "json", name).ok())
    assert details["config"]["cpus"] == 1
    assert details["labels"] == {"a": "1", "b": "2"}
    assert details["image"] == "busybox"
    assert msb("exec", name, "--", "sh", "-c", "echo $A").text() == "2\n"


def test_later_files_win(msb, conf, name):
    base = conf("image: busybox\nmemory: 256M\nenv: {A: 1, B: 1}\n", "base.yaml")
    more = conf("memory: 128M\nenv: {B: 2}\n", "more.yaml")
    msb("create", "-q", "--conf", base, "--conf", more, "--name", name).ok()
    details = json.loads(msb("inspect", "--format", "json", name).ok())
    assert details["config"]["memory_mib"] == 128
    assert msb("exec", name, "--", "sh", "-c", "echo $A $B").text() == "1 2\n"


@pytest.mark.parametrize("text, saying", [
    ("image: busybox\nmemori: 1G", "unknown field 'memori'"),
    ("image: busybox\nmemory: lots", "memory: invalid value 'lots'"),
    ("image: busybox\nenv: {A: yes}", "line 2: 'yes' means different things"),
    ("image: busybox\nenv: {A: \"${NOT_SET_ANYWHERE}\"}", "'NOT_SET_ANYWHERE' not set"),
    ("image: busybox\nnetwork: {allow: [foo]}", "'foo' is ambiguous"),
    ("image: [", "line"),
])
def test_wrong_file(fresh, conf, text, saying):
    """Refused before anything is made or pulled."""
    error = fresh("run", "--conf", conf(text)).failed(saying=saying)
    assert "sandbox.yaml" in error
    assert fresh.sandboxes() == {}


def test_no_image_anywhere(fresh, conf):
    fresh("run", "--conf", conf("cpus: 1")).failed(2, "no image")
    fresh("run").failed(2, "<IMAGE>")
    fresh("create").failed(2, "<IMAGE>")


@pytest.mark.parametrize("option, lacking", [
    (["--vsock", "/tmp/s:1"], "sockets of the host"), (["--tls-intercept"], "TLS interception"),
    (["--secret", "K=V@h"], "secrets"), (["--snapshot", "s"], "snapshots"),
])
def test_options_to_come(fresh, option, lacking):
    """Refused rather than ignored: a sandbox with less than was asked for would be a surprise."""
    for command in "run", "create":
        fresh(command, *option, "busybox").failed(2, f"this version of msb has no {lacking}")
    assert fresh.sandboxes() == {}
