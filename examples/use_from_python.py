"""Profiles from Python: load one, look at it, change it, and see what a mistake gets.

Run it as ``python examples/use_from_python.py``; type checkers and editors know every field on the way.
"""

from __future__ import annotations

import ilab_profiles


def main() -> None:
    """Show the main parts of the library."""
    profile = ilab_profiles.load("single_gpu")
    rank: int = profile.train.lora.lora_rank
    print(f"LoRA rank {rank}, {profile.train.num_epochs} epochs")

    shorter = profile.replace(**{"train.num_epochs": 3, "train.lora.lora_rank": 2 * rank})
    for entry in ilab_profiles.diff(profile, shorter):
        print(f"{entry.path}: {entry.left} -> {entry.right} {entry.unit or ''}".rstrip())

    effective = ilab_profiles.resolve("multi_gpu/l40s_x4", flags={"train.effective_batch_size": 64})
    print(ilab_profiles.explain(effective, "train.gpus"))
    print(ilab_profiles.explain(effective, "train.phases.1.gradient_accumulation"))

    try:
        profile.replace(**{"train.lora.enabled": False})
    except ilab_profiles.InputError as error:
        for finding in error.findings:
            print(f"refused by {finding.rule}: {finding.why}")


if __name__ == "__main__":
    main()
