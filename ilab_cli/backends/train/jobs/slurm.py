"""A training as a job of Slurm: the script for ``sbatch``, made of the settings and of the command of each machine.

The machines get torchrun's own variables, ``PET_…``, that tell where they meet. Ahead of the time limit the training is
asked to end in order, and the job queues again; the same command then goes on from the last checkpoint.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ilab_profiles import Train
from ilab_profiles.diagnostics import counted

__all__ = ["PROGRAM", "script"]

PROGRAM = ("sbatch",)
"""The command that takes the script on its standard input."""
_SECONDS_AHEAD = 120
_BODY = """
# Ahead of the time limit: end in order, and go on from the last checkpoint in another turn.
again() {
    scancel --signal=TERM "$SLURM_JOB_ID"
    wait "$step" || scontrol requeue "$SLURM_JOB_ID"
}
trap again USR1

# The machines meet at the first one, at a port of this job's own.
PET_MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export PET_MASTER_ADDR PET_MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000)) PET_NNODES="$SLURM_JOB_NUM_NODES"
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" \\
    bash -c 'PET_NODE_RANK=$SLURM_NODEID exec "$@"' - \\
    {command} &
step=$!
wait "$step"
"""


def script(train: Train, name: str, command: Sequence[str]) -> str:
    """The script of a job.

    Args:
        train: the settings, which say how many machines, processes and GPUs.
        name: name of the job.
        command: what each machine runs.
    """
    options = {
        "job-name": name,
        "nodes": train.torchrun.nnodes,
        "ntasks-per-node": 1,
        "cpus-per-task": train.num_processes,
        **({} if train.device == "cpu" else {"gpus-per-node": train.num_processes}),
        "open-mode": "append",
        "signal": f"B:USR1@{_SECONDS_AHEAD}",
    }
    lines = [
        "#!/bin/bash",
        f"# A training on {counted(train.torchrun.nnodes, 'machines')}, for sbatch. Add what your cluster asks for:",
        "# --partition, --account, --time, and more cores and memory if need be. All machines see the same folders.",
        *(f"#SBATCH --{option}={value}" for option, value in options.items()),
        "#SBATCH --requeue",
    ]
    return "\n".join(lines) + "\n" + _BODY.replace("{command}", shlex.join(command))
