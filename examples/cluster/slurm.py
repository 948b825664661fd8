"""A study on the nodes of a Slurm cluster; it needs `pip install dask-jobqueue`.

    python examples/cluster/slurm.py --jobs 8 -- gate_depth --storage URL

starts a Dask scheduler on this machine (a login node), has Slurm start a worker for each training
that waits, up to --jobs of them, runs `python -m studies.run gate_depth --storage URL` here, and
gives the nodes back. Jobs that Slurm ends are started again. With --script it prints the script of
a job and starts nothing.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import dask.config
from dask_jobqueue import SLURMCluster
from distributed.security import Security


def parser() -> argparse.ArgumentParser:
    """What Slurm is asked for, and after `--` what the study's command is given."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--jobs", type=int, default=4, help="jobs at most (default: 4)")
    p.add_argument("--cores", type=int, default=1, help="trainings of a job (default: 1)")
    p.add_argument("--memory", default="8GB", help="of a job (default: 8GB)")
    p.add_argument("--walltime", default="04:00:00", help="of a job (default: 04:00:00)")
    p.add_argument("--queue", help="Slurm's partition")
    p.add_argument("--account", help="Slurm's account")
    p.add_argument("--interface", help="the network that nodes and this machine share, as ib0")
    p.add_argument("--gpu", action="store_true", help="each job has one GPU")
    p.add_argument("--script", action="store_true", help="print a job's script, start nothing")
    p.add_argument("study", nargs="*", help="after --: the study and its options")
    return p


def cluster_of(options: argparse.Namespace, **more: Any) -> SLURMCluster:
    """A scheduler on this machine, and the jobs that will be its workers."""
    keys = dask.config.get("distributed.comm.tls.ca-file", None)
    security = Security() if keys else None  # as DASK_CONFIG has it; see certificates.sh
    hours, minutes, _ = map(int, options.walltime.split(":"))
    # A worker ends by itself before Slurm ends it: what it trains goes on elsewhere at once.
    ends = ["--lifetime", f"{max(1, 60 * hours + minutes - 5)}m", "--lifetime-stagger", "3m"]
    return SLURMCluster(
        cores=options.cores,
        processes=1,
        memory=options.memory,
        walltime=options.walltime,
        queue=options.queue,
        account=options.account,
        interface=options.interface,
        security=security,
        job_extra_directives=["--gres=gpu:1"] if options.gpu else [],
        worker_extra_args=[*ends, *(["--resources", "GPU=1"] if options.gpu else [])],
        # The dashboard is for this machine alone, as it asks for no password.
        scheduler_options={"dashboard_address": "127.0.0.1:8787"},
        **more,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the study's command."""
    options = parser().parse_args(arguments)
    with cluster_of(options) as cluster:
        if options.script:
            print(cluster.job_script())
            return 0
        cluster.adapt(minimum_jobs=1, maximum_jobs=options.jobs)
        # Jobs are started for what waits: as many trainings are handed over as all can do.
        all_ = ("--workers", str(options.jobs * options.cores))
        run = [sys.executable, "-m", "studies.run", *all_, *options.study]
        return subprocess.call([*run, "--cluster", cluster.scheduler_address])


if __name__ == "__main__":
    sys.exit(main())
