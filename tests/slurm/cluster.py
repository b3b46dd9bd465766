"""A real SLURM of one node with two pretend GPUs on this machine, brought up and taken down.

Debian's slurm-wlm and munge, without systemd, cgroups or an accounting database. It needs root:
jobs of the executor plugin drop SLURM_CONF, so that the configuration must lie in /etc/slurm.

    python tests/slurm/cluster.py    # brings one up and takes it down: can there be one here?
"""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged", "mungekey")
CONFIGURED = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf")
STATE = Path("/run/rgi-bench-slurm")  # one per machine, as /etc/slurm is
LOCK = Path("/run/rgi-bench-slurm.lock")
GPUS = 2
PATIENCE = 60  # seconds until the node must be idle

# Memory is asked for as on a real cluster but never used up: the node claims more than it has.
# A job that is put back waits until its old credential has expired: here seconds, not two minutes.
CONFIGURATION = """\
ClusterName=rgi-bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={state}/munge.socket,cred_expire=5
StateSaveLocation={state}/controller
SlurmdSpoolDir={state}/node
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdLogFile={state}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={state}/jobs.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=200
MinJobAge=3600
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=262144 Gres=gpu:a100:{gpus}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=gpu Nodes={host} Default=YES MaxTime=2-0 State=UP GraceTime=60
PartitionName=urgent Nodes={host} MaxTime=2-0 State=UP PriorityTier=2 PreemptMode=OFF
"""
GPU_CONFIGURATION = """\
AutoDetect=off
NodeName={host} Name=gpu Type=a100 File={state}/gpu[0-{last}]
"""


class ClusterError(RuntimeError):
    """Why there can be no test cluster here, and what to do about it."""


def install() -> None:
    """Install SLURM when it is missing. ClusterError if that, or running it, is not possible."""
    if os.geteuid() != 0:
        raise ClusterError(
            "the SLURM tests need root, since the test cluster's configuration lies in /etc/slurm;"
            " run: sudo make test-slurm"
        )
    if all(map(shutil.which, PROGRAMS)):
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(f"missing: {', '.join(PACKAGES)}; install them (Debian's names) first")
    apt = ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *PACKAGES]
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "--quiet"], apt):
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ClusterError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


@dataclass
class Cluster:
    """The daemons of the test cluster; their logs lie under STATE."""

    cpus: int = field(default_factory=lambda: max(2, os.cpu_count() or 2))
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)

    def start(self) -> None:
        """Bring the node up. ClusterError if it is not idle in time."""
        self._configure()
        self._run("munged", "--foreground", "--force", *self._munge_files())
        self._await("the munge daemon", (STATE / "munge.socket").exists)
        self.start_controller()
        self._run("slurmd", "-D")
        self._await("the node", lambda: "idle" in output("sinfo", "--noheader", "-o", "%T"))

    def stop(self) -> None:
        """End all jobs and daemons and remove what was put into /etc/slurm."""
        with suppress(ClusterError):
            self._end_jobs()
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.daemons.clear()
        _remove_configuration()

    def start_controller(self) -> None:
        """Start slurmctld, which goes on with the jobs that its predecessor knew."""
        self._run("slurmctld", "-D")
        self._await("the controller", lambda: "UP" in output("scontrol", "ping"))

    def kill_controller(self) -> None:
        """End slurmctld as kill -9 does."""
        self.daemons["slurmctld"].kill()
        self.daemons["slurmctld"].wait()

    def register_node(self) -> None:
        """Let the node tell a new controller which jobs ended; by itself it takes minutes."""
        subprocess.run(["scontrol", "reconfigure"], check=True)

    def await_saved_state(self) -> None:
        """Wait until the controller has saved what it knows now, as it does every five seconds."""
        begun = time.time()
        saved = STATE / "controller/job_state"
        self._await("the saved state", lambda: saved.exists() and saved.stat().st_mtime > begun)

    def jobs(self, states: str = "RUNNING") -> dict[str, str]:
        """Jobs in some states: number to comment, which names rule and wildcards."""
        lines = output("squeue", "--noheader", f"--states={states}", "-o", "%i|%k").splitlines()
        return dict(line.split("|", 1) for line in lines)

    def _run(self, program: str, *arguments: str) -> None:
        # Whatever ends the tests also ends the daemons.
        command = ["setpriv", "--pdeathsig", "TERM", program, *arguments]
        with (STATE / f"{program}.out").open("ab") as log:
            self.daemons[program] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _await(self, what: str, ready) -> None:
        end = time.monotonic() + PATIENCE
        up = False
        while not up:
            up = ready()
            dead = [name for name, daemon in self.daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > end:
                raise ClusterError(f"{what} did not come up; {_last_words()}")
            time.sleep(0.2)

    def _end_jobs(self) -> None:
        """Cancel all jobs and wait for them, so that no process of one outlives the cluster."""
        if "slurmctld" not in self.daemons:
            return
        if self.daemons["slurmctld"].poll() is not None:
            self.start_controller()
        subprocess.run(["scancel", "--user=root"], capture_output=True, check=False)
        end = time.monotonic() + PATIENCE
        while output("squeue", "--noheader") and time.monotonic() < end:
            time.sleep(0.2)

    def _configure(self) -> None:
        shutil.rmtree(STATE, ignore_errors=True)
        for folder in ("controller", "node"):
            (STATE / folder).mkdir(parents=True)
        STATE.chmod(0o755)
        key = STATE / "munge.key"
        subprocess.run(["mungekey", "--create", f"--keyfile={key}"], check=True)
        for number in range(GPUS):  # slurmd takes only character devices: two of /dev/null's kind
            os.mknod(STATE / f"gpu{number}", 0o20666, os.makedev(1, 3))
        facts = {
            "host": socket.gethostname().split(".")[0],
            "state": STATE,
            "cpus": self.cpus,
            "gpus": GPUS,
            "last": GPUS - 1,
        }
        CONFIGURED.mkdir(exist_ok=True)
        for name, text in zip(FILES, (CONFIGURATION, GPU_CONFIGURATION), strict=True):
            (STATE / name).write_text(text.format(**facts))
            (CONFIGURED / name).symlink_to(STATE / name)

    def _munge_files(self) -> list[str]:
        kinds = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
        files = [f"--{option}={STATE}/munge.{suffix}" for option, suffix in kinds.items()]
        return [*files, f"--seed-file={STATE}/munge.seed"]


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A test cluster that is taken down whatever happens."""
    install()
    with LOCK.open("w") as lock:  # the kernel drops it with this process
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError("another test cluster is at work on this machine") from None
        refuse_another()
        cluster = Cluster()
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


def refuse_another() -> None:
    """ClusterError beside a cluster that is at work or was configured by somebody else.

    What a test cluster that was killed has left in /etc/slurm is removed.
    """
    if "UP" in output("scontrol", "ping"):
        raise ClusterError("another SLURM controller is at work on this machine; stop it first")
    _remove_configuration()
    for name in FILES:
        if os.path.lexists(CONFIGURED / name):
            raise ClusterError(f"{CONFIGURED / name} belongs to another cluster; left alone")


def output(*command: str) -> str:
    """What a command prints, nothing when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _remove_configuration() -> None:
    """Remove what a test cluster has put into /etc/slurm, also one that was killed."""
    for name in FILES:
        link = CONFIGURED / name
        if link.is_symlink() and link.readlink() == STATE / name:
            link.unlink()


def _last_words() -> str:
    """The last lines that each daemon has written."""
    files = [*sorted(STATE.glob("*.log")), *sorted(STATE.glob("*.out"))]
    return "\n".join(f"{path}:\n{path.read_text()[-1500:]}" for path in files)


if __name__ == "__main__":
    try:
        with running_cluster():
            print(output("sinfo"))
    except ClusterError as error:
        sys.exit(f"error: {error}")
