"""What msb doctor finds, on a good home and on broken ones."""
import json
import os

import pytest

from harness import MSB


def checks(result):
    return {c["name"]: c for c in json.loads(result.out)["checks"]}


def test_good_home(fresh):
    r = fresh("doctor")
    assert r.rc == 0 and r.err == b"" and "✓ Database" in r.out.decode(), r
    r = fresh("doctor", "--format", "json")
    answer = json.loads(r.ok())
    assert answer["ok"] and answer["home"] == fresh.path
    found = checks(r)
    assert found["Installation"]["detail"] == os.path.dirname(os.path.dirname(MSB))
    assert all(found[name]["status"] == "good" and found[name]["fix"] is None
               for name in ("Installation", "Home", "Database", "Configuration"))


def put(path, text, mode=0o600):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)


@pytest.mark.parametrize("name, text, mode, check", [
    ("config.json", '{"registries": 1}', 0o600, "Configuration"),
    ("credentials.json", '{"registries": {}}', 0o644, "Configuration"),
    ("db/msb.db", "this is no database at all, but long enough to look at" * 100, 0o600,
     "Database"),
])
def test_broken_files(fresh, name, text, mode, check):
    fresh("images").ok()
    path = os.path.join(fresh.path, name)
    put(path, text, mode)
    r = fresh("doctor", "--format", "json")
    found = checks(r)
    assert r.rc == 1 and not json.loads(r.out)["ok"]
    assert [n for n, c in found.items() if c["status"] == "bad"] == [check]
    assert os.path.basename(name) in found[check]["detail"] or found[check]["fix"]
    assert "✗ " + check in fresh("doctor").out.decode()
    os.unlink(path)


def test_nothing_to_run_on(fresh):
    """Without an emulator it depends on KVM."""
    r = fresh("doctor", "--format", "json", env={"MSB_QEMU": "/nonexistent"})
    found = checks(r)
    kvm = found["KVM"]["status"] == "good"
    assert r.rc == (0 if kvm else 1)
    assert found["Emulation"]["status"] == ("poor" if kvm else "bad")
    assert "apt-get install" in found["Emulation"]["fix"]
