"""What starts a cluster elsewhere: keys, ssh, Slurm, Kubernetes, an image; docs/cluster.md."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from studies.run import parser
from tests.cluster import until

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "examples" / "cluster"
MANIFEST = RECIPES / "kubernetes.yaml"


# ------------------------------------------------------------------------------------------
# Kubernetes
# ------------------------------------------------------------------------------------------


def resources() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(MANIFEST.read_text("utf-8")))


def pods() -> dict[str, dict[str, Any]]:
    """Part -> the specification of its pod."""
    templates = (r["spec"]["template"] for r in resources() if "template" in r.get("spec", {}))
    return {t["metadata"]["labels"]["part"]: t["spec"] for t in templates}


def containers() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for pod in pods().values():
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            yield pod, container


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_each_manifest_fits_the_schema_of_kubernetes(version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    for resource in resources():
        validate(resource, version, strict=True)


def test_a_manifest_that_is_none_would_be_refused() -> None:
    module = pytest.importorskip("kubernetes_validate")
    resource = next(r for r in resources() if r["kind"] == "Job")
    resource["spec"]["backofLimit"] = 1
    with pytest.raises(module.ValidationError):
        module.validate(resource, "1.37", strict=True)


def test_what_manifests_name_is_there() -> None:
    """Volumes, labels, settings and ports: no schema sees that they fit each other."""
    there = {resource["kind"]: resource for resource in resources()}
    settings = there["ConfigMap"]["data"]
    claims = {there["PersistentVolumeClaim"]["metadata"]["name"]}
    for pod, container in containers():
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts <= {volume["name"] for volume in pod["volumes"]}
        assert container["image"] == "fsmd:0.1.0"
        for part in container.get("envFrom", ()):
            assert part["configMapRef"]["name"] == there["ConfigMap"]["metadata"]["name"]
        assert {*re.findall(r"\$\((\w+)\)", str(container["args"]))} <= {*settings}
        used = {
            v["persistentVolumeClaim"]["claimName"]
            for v in pod["volumes"]
            if "persistentVolumeClaim" in v
        }
        assert used <= claims
    for resource in resources():
        if "selector" in resource.get("spec", {}):
            wanted = resource["spec"]["selector"]
            wanted = wanted.get("matchLabels", wanted)
            labels = [
                r["spec"]["template"]["metadata"]["labels"]
                for r in resources()
                if "template" in r.get("spec", {})
            ]
            assert any(wanted.items() <= each.items() for each in labels)
    service = there["Service"]
    host = f"tls://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert host in pods()["worker"]["containers"][0]["args"]
    assert host in pods()["planner"]["containers"][0]["args"]
    assert settings["PGPASSFILE"].startswith(mount_of("planner", "secrets"))
    assert settings["DASK_CONFIG"].startswith(mount_of("scheduler", "keys"))
    assert settings["FSMD_CACHE"].startswith(mount_of("worker", "shared"))


def mount_of(part: str, volume: str) -> str:
    mounts = pods()[part]["containers"][0]["volumeMounts"]
    return str(next(mount["mountPath"] for mount in mounts if mount["name"] == volume))


def test_commands_in_manifests_have_options_that_there_are() -> None:
    from distributed.cli import dask_scheduler, dask_worker

    for part, command in (("scheduler", dask_scheduler.main), ("worker", dask_worker.main)):
        words = pods()[part]["containers"][0]["args"]
        assert words[:2] == ["dask", part]
        command.make_context(part, list(words[2:]))
    words = pods()["planner"]["containers"][0]["args"]
    assert words[:3] == ["python3", "-m", "studies.run"]
    options = parser().parse_args(words[3:])
    assert options.cluster == "tls://fsmd-scheduler:8786"


def test_pods_run_as_nobody_in_particular_and_hold_no_password() -> None:
    for pod, container in containers():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    storage = next(r for r in resources() if r["kind"] == "ConfigMap")["data"]["FSMD_STORAGE"]
    assert re.fullmatch(r"postgresql\+psycopg://\w+@[\w.]+:5432/\w+", storage)
    assert not any(resource["kind"] == "Secret" for resource in resources())


# ------------------------------------------------------------------------------------------
# The image
# ------------------------------------------------------------------------------------------


def test_the_dockerfile_has_nothing_that_a_linter_finds() -> None:
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if linter is None:
        pytest.skip("hadolint is not installed")
    run = subprocess.run(
        [linter, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "")


def test_an_image_holds_what_is_installed_and_nothing_else() -> None:
    named = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} - {
        "tests"
    }
    assert named == {*packages, "constraints.txt", "LICENSE", "pyproject.toml", "README.md"}


# ------------------------------------------------------------------------------------------
# Slurm
# ------------------------------------------------------------------------------------------


def test_the_script_of_a_slurm_job_asks_for_what_was_asked() -> None:
    pytest.importorskip("dask_jobqueue")
    asked = ("--queue", "gpu", "--account", "us", "--memory", "16GB", "--cores", "2")
    more = ("--walltime", "02:30:00", "--gpu", "--interface", "lo", "--script")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DASK_CONFIG": ""}
    run = subprocess.run(
        [sys.executable, str(RECIPES / "slurm.py"), *asked, *more],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    lines = run.stdout.splitlines()
    asked_of_slurm = {
        line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")
    }
    assert {"-p gpu", "-A us", "--cpus-per-task=2", "--mem=15G", "-t 02:30:00"} <= asked_of_slurm
    assert "--gres=gpu:1" in asked_of_slurm
    worker = next(line for line in lines if "dask_worker" in line)
    assert re.search(r"tcp://127\.0\.0\.1:\d+", worker)
    assert "--nthreads 2" in worker
    assert "--resources GPU=1" in worker
    assert "--lifetime 145m" in worker  # five minutes before Slurm ends it
    assert subprocess.run(["bash", "-n"], input=run.stdout, text=True, check=False).returncode == 0


def test_as_many_trainings_are_handed_over_as_all_jobs_can_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slurm is asked for a job where a training waits: with fewer there is one job for ever."""
    pytest.importorskip("dask_jobqueue")
    spec = spec_from_file_location("slurm", RECIPES / "slurm.py")
    assert spec
    assert spec.loader
    slurm, given = module_from_spec(spec), list[list[str]]()
    spec.loader.exec_module(slurm)
    jobs = SimpleNamespace(scheduler_address="tcp://a:1", adapt=lambda **_: None)
    monkeypatch.setattr(slurm, "cluster_of", lambda _: nullcontext(jobs))
    monkeypatch.setattr(subprocess, "call", given.append)
    slurm.main(["--jobs", "8", "--cores", "2", "--", "gate_depth"])
    slurm.main(["--", "gate_depth", "--workers", "3"])
    asked = [parser().parse_args(command[3:]) for command in given]
    assert [(each.study, each.workers) for each in asked] == [
        ("gate_depth", 16),
        ("gate_depth", 3),
    ]


# ------------------------------------------------------------------------------------------
# ssh, and keys
# ------------------------------------------------------------------------------------------

SSH = """#!/usr/bin/env bash
# In the place of ssh -o BatchMode=yes HOST COMMAND: each host is this machine.
[ "$1 $2" = "-o BatchMode=yes" ] || exit 9
shift 3
exec bash -c "$*"
"""
SEES = """
import sys
from distributed import Client
with Client(sys.argv[1], timeout=15) as client:
    client.wait_for_workers(2, timeout=60)
    workers = client.scheduler_info()["workers"].values()
    print(sorted(worker["name"] for worker in workers), {worker["nthreads"] for worker in workers})
"""


@contextmanager
def started(folder: Path, keys: Path, port: int) -> Iterator[dict[str, str]]:
    """A cluster of two hosts, by the recipe; the environment of its shells."""
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(SSH)
    (folder / "bin" / "ssh").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DASK_CONFIG": str(keys / "dask.yaml"),
        "FSMD_ADDRESS": "127.0.0.1",
        "FSMD_PORT": str(port),
        "FSMD_DASHBOARD": "0",
        "FSMD_THREADS": "3",
    }

    def recipe(action: str) -> None:
        command = ["bash", str(RECIPES / "ssh.sh"), action, "one", "two"]
        subprocess.run(command, cwd=folder, env=environment, timeout=120, check=True)

    recipe("start")
    try:
        yield environment
    finally:
        recipe("stop")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_hosts_that_ssh_reaches_make_a_cluster_into_which_only_keys_let(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    make = ["bash", str(RECIPES / "certificates.sh"), str(keys)]
    subprocess.run(make, check=True, capture_output=True)
    assert {path.name for path in keys.iterdir() if path.stat().st_mode & 0o077} == set()
    other = tmp_path / "other"
    subprocess.run([*make[:2], str(other)], check=True, capture_output=True)
    port = free_port()

    def sees(address: str, config: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SEES, address]
        with_keys = {**environment, "DASK_CONFIG": config}
        return subprocess.run(
            command, env=with_keys, capture_output=True, text=True, timeout=120, check=False
        )

    with started(tmp_path, keys, port) as environment:
        seen = sees(f"tls://127.0.0.1:{port}", str(keys / "dask.yaml"))
        assert seen.stdout == "['one', 'two'] {3}\n", seen.stderr
        for address, config in (
            (f"tls://127.0.0.1:{port}", str(other / "dask.yaml")),  # other keys
            (f"tls://127.0.0.1:{port}", ""),  # none
            (f"tcp://127.0.0.1:{port}", ""),  # not encrypted
        ):
            refused = sees(address, config)
            assert refused.returncode != 0
            assert refused.stdout == ""
        pids = [int(path.read_text()) for path in tmp_path.glob("*.pid")]
        assert len(pids) == 3
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids))


def free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
