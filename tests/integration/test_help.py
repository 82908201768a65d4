"""
What msb tells about itself: help, the tree of commands, and what somebody may have meant.
"""
import os
import shutil
import subprocess

import pytest

import harness

USAGE = 2


@pytest.mark.parametrize("question", [["--help"], ["-h"], ["help"]])
def test_overview(fresh, question):
    text = fresh(*question).text()
    assert "Usage: msb <COMMAND>" in text
    assert "\nSandboxes:\n" in text and "\nImages:\n" in text
    assert "  rmi" not in text


def test_without_a_command(fresh):
    for path in ([], ["image"], ["registry"]):
        r = fresh(*path)
        assert r.rc == USAGE and f"Usage: {' '.join(['msb', *path])} <COMMAND>".encode() in r.out


def test_short_and_long(fresh):
    brief, full = fresh("run", "-h").text(), fresh("run", "--help").text()
    assert "serves as root" in full and "serves as root" not in brief
    assert all(line in full for line in brief.splitlines())
    assert fresh("help", "run").text() == full
    fresh("run", "--no-such-option", "--help").failed(USAGE)


def test_help_of_a_sub_command(fresh):
    full = fresh("image", "remove", "--help").text()
    assert "Usage: msb image rm [OPTIONS] <REFERENCE>..." in full and "rm, remove" in full
    for words in (["help", "image", "rm"], ["image", "help", "rm"]):
        assert fresh(*words).text() == full


def test_help_needs_no_home():
    nowhere = harness.Home("/proc/no/such/place")
    for words in (["run", "--help"], ["--tree"], ["--version"], ["image", "-h"]):
        nowhere(*words).ok()


def test_tree(fresh):
    lines = fresh("--tree").text().splitlines()
    assert lines[0].startswith("msb ")
    assert any(line.startswith("├── rm, remove ") for line in lines)
    assert any(line.startswith("│   ├── ls, list ") for line in lines)
    assert not any("── rmi" in line or "── registries" in line for line in lines)

    below = fresh("image", "--tree").text().splitlines()
    assert below[0].startswith("msb image ") and below[-1].startswith("└── ")
    start = next(i for i, line in enumerate(lines) if "── image " in line)
    assert [line.split()[1:] for line in below[1:]] == [
        line.split()[2:] for line in lines[start + 1:start + len(below)]]
    assert len(fresh("image", "ls", "-q", "--tree").text().splitlines()) == 1


@pytest.mark.parametrize("words, usage, suggestion", [
    (["pul", "x"], "msb <COMMAND>", "'pull'"),
    (["image", "prun"], "msb image <COMMAND>", "'prune'"),
    (["image", "frob"], "msb image <COMMAND>", None),
    (["help", "image", "frob"], "msb image <COMMAND>", None),
    (["login"], "msb <COMMAND>", "'registry login'"),
    (["ls", "--formt=json"], "msb ls [OPTIONS]", "'--format'"),
    (["image", "--frob"], "msb image <COMMAND>", None),
])
def test_mistyped(fresh, words, usage, suggestion):
    r = fresh(*words)
    assert r.rc == USAGE and r.out == b""
    assert f"\nUsage: {usage}\n".encode() in r.err
    if suggestion:
        assert f"did you mean {suggestion}?".encode() in r.err
    else:
        assert b"did you mean" not in r.err


@pytest.fixture
def page(fresh, tmp_path):
    path = tmp_path / "msb.1"
    path.write_bytes(fresh("man").ok())
    return path


@pytest.mark.parametrize("checker", [["man", "--warnings", "-l"], ["mandoc", "-T", "lint"]])
def test_manual_page(page, checker):
    if not shutil.which(checker[0]):
        pytest.skip(f"no {checker[0]} here")
    env = {**os.environ, "LC_ALL": "C.UTF-8", "PAGER": "cat", "MANWIDTH": "90"}
    r = subprocess.run([*checker, page], capture_output=True, env=env, timeout=60)
    findings = r.stderr if checker[0] == "man" else r.stdout
    # The page has no date, so that building it twice gives the same.
    assert [line for line in findings.splitlines() if b"missing date" not in line] == []
    assert checker[0] != "man" or b"msb run [OPTIONS] <IMAGE> [-- <COMMAND>...]" in r.stdout


def test_what_is_installed(fresh):
    share = os.path.join(os.path.dirname(harness.MSB), "../share")
    for path, words in [("man/man1/msb.1", ["man"]),
                        ("bash-completion/completions/msb", ["completion", "bash"]),
                        ("zsh/site-functions/_msb", ["completion", "zsh"]),
                        ("fish/vendor_completions.d/msb.fish", ["completion", "fish"])]:
        with open(os.path.join(share, path), "rb") as f:
            assert f.read() == fresh(*words).ok()


def test_stage_takes_back_what_it_put(tmp_path):
    """The folders that it shares with others stay if there is anything of theirs."""
    root = os.path.dirname(os.path.dirname(harness.MSB))
    prefix = tmp_path / "prefix"
    for name in ("bin", "share"):
        shutil.copytree(os.path.join(root, name), prefix / name)
    (prefix / "lib").mkdir()
    other = prefix / "share/man/man1/other.1"
    other.touch()
    stage = os.path.join(os.path.dirname(__file__), "../../tools/stage")
    subprocess.run([stage, "--remove", prefix], check=True, timeout=60)
    left = [os.path.join(folder, name) for folder, _, names in os.walk(prefix) for name in names]
    assert left == [str(other)]
    assert os.listdir(prefix / "share") == ["man"]
