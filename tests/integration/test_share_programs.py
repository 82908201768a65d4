"""Programs of this host, seen by a sandbox in shared directories, at work in another one: git, make, a compiler and
SQLite."""
import shutil
import subprocess

import pytest

SYSTEM = ["-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro"]

SQLITE = """
import os, sqlite3, sys, threading
path = "/work/" + sys.argv[1]
db = sqlite3.connect(path)
db.execute("pragma journal_mode=" + sys.argv[1])
db.execute("create table t (a integer primary key, b text)")
db.commit()

def write(k):
    db = sqlite3.connect(path, timeout=100)
    for i in range(20):
        with db:
            db.execute("insert into t (b) values (?)", (f"{k}-{i} " * 50,))
        try:
            with db:
                db.execute("delete from t")
                raise KeyError
        except KeyError:
            pass

threads = [threading.Thread(target=write, args=(k,)) for k in range(3)]
for t in threads:
    t.start()
for t in threads:
    t.join()
# What a process leaves that is killed in the middle is rolled back by the next one.
child = os.fork()
if child == 0:
    db = sqlite3.connect(path)
    db.execute("delete from t")
    os.kill(os.getpid(), 9)
os.waitpid(child, 0)
db = sqlite3.connect(path)
assert db.execute("select count(*) from t").fetchone() == (60,)
assert db.execute("pragma integrity_check").fetchone() == ("ok",)
"""


@pytest.fixture
def work(tmp_path):
    path = tmp_path / "work"
    path.mkdir()
    return path


def bash(msb, work, script, *options):
    return msb("run", "-m", "512M", *SYSTEM, *options, "-v", f"{work}:/work", "busybox", "--", "/usr/bin/bash", "-ec",
               "export PATH=/usr/bin:/bin HOME=/root; cd /work\n" + script).ok().decode()


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_sqlite(msb, work, journal):
    (work / "torture.py").write_text(SQLITE)
    bash(msb, work, f"python3 torture.py {journal}")
    # The host sees a whole database, too.
    r = subprocess.run(["/usr/bin/python3", "-c", "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("
                        "'pragma integrity_check').fetchone()[0])", work / journal], capture_output=True, text=True, check=True)
    assert r.stdout == "ok\n"


@pytest.mark.skipif(not all(map(shutil.which, ("git", "make", "gcc"))), reason="needs git, make and gcc")
def test_clone_and_build(msb, work, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    parts = [f"part{i}" for i in range(6)]
    for part in parts:
        (source / f"{part}.c").write_text(f"int {part}(void) {{ return 1; }}\n")
    calls = " + ".join(f"{part}()" for part in parts)
    (source / "main.c").write_text("#include <stdio.h>\n" + "".join(f"int {part}(void);\n" for part in parts) +
                                   f'int main(void) {{ printf("%d parts\\n", {calls}); return 0; }}\n')
    (source / "Makefile").write_text("program: main.o " + " ".join(f"{part}.o" for part in parts) +
                                     "\n\tgcc -o $@ $^\nclean:\n\trm -f *.o program\n")
    (source / "run.sh").write_text("#!/bin/sh\n./program\n")
    (source / "run.sh").chmod(0o755)
    git = ["git", "-C", source, "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], check=True, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    out = bash(msb, work, """git config --global --add safe.directory '*'
        git clone -q file:///source clone
        cd clone
        printf 'program\\n*.o\\n' >.git/info/exclude
        make -s -j2 CC=gcc
        ./run.sh
        git mv part0.c moved.c && git stash -q && git stash pop -q && git status --short
        git checkout -q -f && git gc -q && git fsck --strict && git status --short
        make -s clean && ls""", "-v", f"{source}:/source:ro")
    lines = out.splitlines()
    assert lines[0] == "6 parts"
    assert sorted(lines[-9:]) == sorted(["Makefile", "main.c", "run.sh", *(f"{part}.c" for part in parts)])
    # What a program is in the guest it is on the host, for its owner.
    assert (work / "clone/run.sh").stat().st_mode & 0o777 == 0o700
