"""
The completion scripts in the shells that they are for: they are sound, and offer what can stand
at a place of the command line. Shells that are not installed are left out.
"""
import os
import pty
import shlex
import shutil
import subprocess

import pytest

import harness
import oci

MSB = harness.MSB
SHELLS = ["bash", "zsh", "fish"]


def need(shell):
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """With images, and msb in PATH."""
    folder = tmp_path_factory.mktemp("completion")
    home = harness.Home(folder / "home")
    path = oci.write_oci(str(folder / "x.tar"), {"corner/shop:1.5": oci.busybox()})
    home("load", "-i", path, "-t", "corner/shop:1.5").ok()
    home("load", "-i", path, "-t", "cornershop").ok()
    (folder / "files" / "folder").mkdir(parents=True)
    (folder / "files" / "file.pem").touch()
    return home


def env_of(home):
    return home.env({"PATH": f"{os.path.dirname(MSB)}:{os.environ['PATH']}"})


@pytest.fixture(scope="module")
def scripts(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    for shell in SHELLS:
        (folder / shell).write_bytes(home("completion", shell).ok())
    return folder


@pytest.mark.parametrize("shell", SHELLS)
def test_syntax(scripts, shell):
    need(shell)
    r = subprocess.run([shell, "-n", scripts / shell], capture_output=True, timeout=60)
    assert (r.returncode, r.stdout, r.stderr) == (0, b"", b"")


def bash_words(line):
    """COMP_WORDS as bash makes them of a line without quotes: = and : are words, too."""
    words = []
    for word in line.split(" "):
        parts, part = [], ""
        for c in word:
            if part and (c in "=:") != (part[-1] in "=:"):
                parts.append(part)
                part = ""
            part += c
        words += parts + [part]
    return words


def in_bash(home, scripts, line, options="-u", breaks=None):
    need("bash")
    words = bash_words(line) if breaks is None else line.split(" ")
    program = f"""
        source {shlex.quote(str(scripts / "bash"))}
        COMP_WORDBREAKS={shlex.quote(" =:" if breaks is None else breaks)}
        COMP_WORDS=({" ".join(map(shlex.quote, words))})
        COMP_CWORD={len(words) - 1}
        _msb
        for word in "${{COMPREPLY[@]}}"; do printf '%s\\n' "$word"; done
    """
    r = subprocess.run(["bash", "--norc", options, "-c", program], capture_output=True, timeout=60,
                       env=env_of(home), cwd=os.path.join(home.path, "..", "files"))
    assert r.returncode == 0 and r.stderr == b"", r
    return r.stdout.decode().split()


def in_fish(home, scripts, line):
    need("fish")
    r = subprocess.run(["fish", "--no-config", "-c",
                        f"source {scripts / 'fish'}; complete -C {shlex.quote(line)}"],
                       capture_output=True, timeout=60, env=env_of(home),
                       cwd=os.path.join(home.path, "..", "files"))
    assert r.returncode == 0 and r.stderr == b"", r
    return [row.split("\t")[0] for row in r.stdout.decode().splitlines()]


# Where bash and fish offer the same.
EVERYWHERE = [
    ("msb ima", {"image"}),
    ("msb rem", {"remove"}),
    ("msb image pr", {"prune"}),
    ("msb image ", {"ls", "inspect", "rm", "prune", "pull", "load", "save"}),
    ("msb regs --q", {"--quiet"}),
    ("msb run --pu", {"--pull"}),
    ("msb run --pull ", {"always", "if-missing", "never"}),
    ("msb run --machine k", {"kvm"}),
    ("msb ls --format ", {"json"}),
    ("msb image save --format o", {"oci"}),
    ("msb completion ", {"bash", "fish", "zsh"}),
    ("msb rmi corners", {"cornershop"}),
    ("msb run -q --name pull --machine qemu corners", {"cornershop"}),
    ("msb image remove cornershop corners", {"cornershop"}),
    ("msb pull --ca-certs f", {"file.pem", "folder/"}),
    ("msb run ./f", {"./folder/"}),
    ("msb cp -q f", {"file.pem", "folder/"}),
    ("msb run cornershop -- --pu", set()),
    ("msb frobnicate ", set()),
    ("msb run --name ", set()),
    ("msb rm nothing-of-that-na", set()),
    ("msb help image pr", {"prune"}),
]


@pytest.mark.parametrize("line, words", EVERYWHERE)
def test_in_bash(home, scripts, line, words):
    offered = in_bash(home, scripts, line)
    # Readline adds the slash to a folder.
    assert sorted(offered) == sorted(word.rstrip("/") for word in words)


@pytest.mark.parametrize("line, words", EVERYWHERE)
def test_in_fish(home, scripts, line, words):
    # `images` and other names that are not listed are offered with the listed ones.
    assert {word for word in in_fish(home, scripts, line) if word != "images"} == words


@pytest.mark.parametrize("line, words", [
    ("msb save corner/shop:", {"1.5"}),  # what follows the last colon is replaced
    ("msb save corner/shop:1", {"1.5"}),
    ("msb save corner/", {"corner/shop:1.5"}),
    ("msb save --format=", {"docker", "oci"}),
    ("msb save --format=d", {"docker"}),
    ("msb pull --ca-certs=fi", {"file.pem"}),
    ("msb save x=y --fo", {"--format"}),
    ("msb logs one --so", {"--source"}),
    ("msb completion bash ", set()),
])
def test_words_that_bash_splits(home, scripts, line, words):
    assert set(in_bash(home, scripts, line)) == words


def test_bash_that_splits_nothing(home, scripts):
    assert in_bash(home, scripts, "msb save corner/shop:", breaks=" ") == ["corner/shop:1.5"]
    assert in_bash(home, scripts, "msb save --format=d", breaks=" ") == ["--format=docker"]


def test_names_of_sandboxes(home, scripts, tmp_path):
    """They come from `msb ls -q`, and are never run or expanded."""
    fake = tmp_path / "msb"
    fake.write_text("#!/bin/sh\n[ \"$*\" = 'ls -q' ] && printf '%s\\n' one onetwo '$(>x)' '*'\n")
    fake.chmod(0o755)
    for command, word, offered in [("exec", "on", b"one|onetwo|"), ("stop", "on", b"one|onetwo|"),
                                   ("remove", "on", b"one|onetwo|"),
                                   ("start", "", b"one|onetwo|$(>x)|*|"),
                                   ("copy", "on", b"one:/|onetwo:/|")]:
        r = subprocess.run(
            ["bash", "--norc", "-c",
             f"source {scripts / 'bash'}; COMP_WORDS=(msb {command} '{word}'); COMP_CWORD=2; _msb;"
             "printf '%s|' \"${COMPREPLY[@]}\""],
            capture_output=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, cwd=tmp_path)
        assert (r.stdout, r.stderr) == (offered, b"")
    assert os.listdir(tmp_path) == ["msb"]


# ZDOTDIR/.zshrc: Tab completes, and Control-X shows what has become of the line.
ZSHRC = """
PS1= PROMPT_EOL_MARK= LISTMAX=10000
autoload -Uz compinit && compinit -D -u
source {script}
show() {{ print -r -- "<$BUFFER>"; BUFFER= }}
zle -N show
bindkey '^X' show
unsetopt list_ambiguous auto_list list_beep zle_bracketed_paste
bindkey '^I' complete-word
print ready
"""


@pytest.fixture(scope="module")
def zsh(home, scripts, tmp_path_factory):
    need("zsh")
    folder = tmp_path_factory.mktemp("zsh")
    (folder / ".zshrc").write_text(ZSHRC.format(script=scripts / "zsh"))
    master, slave = pty.openpty()
    env = {**env_of(home), "ZDOTDIR": str(folder), "TERM": "dumb"}
    shell = subprocess.Popen(["zsh", "-d", "-i"], stdin=slave, stdout=slave, stderr=slave, env=env,
                             start_new_session=True, cwd=os.path.join(home.path, "..", "files"))
    harness.read_until(master, b"ready")
    yield master
    shell.kill()
    shell.wait()
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("line, completed", [
    ("msb imag", "msb image "),
    ("msb rem", "msb remove "),
    ("msb image pru", "msb image prune "),
    ("msb image remove corner/", "msb image remove corner/shop:1.5 "),
    ("msb run --pul", "msb run --pull="),
    ("msb run --pull al", "msb run --pull always "),
    ("msb run --name x -q --machine=k", "msb run --name x -q --machine=kvm "),
    ("msb regs --for", "msb regs --format="),
    ("msb ls --for", "msb ls --format="),
    ("msb image prune --for", "msb image prune --format="),
    ("msb regs --q", "msb regs --quiet "),
    ("msb completion f", "msb completion fish "),
    ("msb rmi corners", "msb rmi cornershop "),
    ("msb run corners", "msb run cornershop "),
    ("msb run ./f", "msb run ./folder/"),
    ("msb cp fi", "msb cp file.pem "),
    ("msb pull --ca-certs fi", "msb pull --ca-certs file.pem "),
    ("msb frobnicate corners", "msb frobnicate corners"),
])
def test_in_zsh(zsh, line, completed):
    os.write(zsh, line.encode() + b"\t\x18")
    shown = harness.read_until(zsh, b">\r\n")
    assert f"<{completed}>\r\n".encode() in shown


def test_unknown_shell(fresh):
    fresh("completion", "tcsh").failed(2, "bash, zsh or fish")
    fresh("completion").failed(2, "<bash|zsh|fish>")
