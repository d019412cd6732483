"""The optimizers that a training may choose, and one of our own: AdamW on weights that are kept in bf16."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ilab_cli.backends.train.model import language_model
from ilab_profiles import Train

if TYPE_CHECKING:
    import torch

__all__ = ["make", "round_at_random"]

_BETAS = (0.9, 0.95)
"""Of AdamW: those of Llama and most models since (Touvron et al. 2023)."""


def make(train: Train, model: Any) -> Any:
    """The optimizer of a training.

    Args:
        train: the settings.
        model: the module that is trained; weights that need no gradient are left alone.

    Returns:
        ``torch.optim.Optimizer``.
    """
    import torch

    weights = [weight for weight in model.parameters() if weight.requires_grad]
    adam: dict[str, Any] = {"lr": train.learning_rate, "betas": _BETAS, "weight_decay": train.weight_decay}
    if train.master_weights == "bf16":
        return _rounding_adamw()(weights, **adam)
    match train.optimizer:
        case "adamw":
            return torch.optim.AdamW(weights, **adam)
        case "adamw_fused":
            return torch.optim.AdamW(weights, **adam, fused=True)
        case "adamw_8bit":
            from bitsandbytes.optim import AdamW8bit

            return AdamW8bit(weights, **adam)
        case "adafactor":
            return torch.optim.Adafactor(weights, lr=train.learning_rate, weight_decay=train.weight_decay)
        case "muon":
            return _muon(train, model, weights, adam)


def _muon(train: Train, model: Any, weights: list[Any], adam: dict[str, Any]) -> Any:
    """Muon for the matrices between embeddings and head, AdamW for all else (Jordan et al. 2024).

    Its steps are scaled to those of AdamW (Liu et al. 2025), so that the same learning rate serves both.
    """
    import torch

    causal = language_model(model)
    ends = {id(part.weight) for part in (causal.get_input_embeddings(), causal.get_output_embeddings()) if part}
    matrices = [weight for weight in weights if weight.ndim == 2 and id(weight) not in ends]
    others = [weight for weight in weights if weight.ndim != 2 or id(weight) in ends]

    class Both(torch.optim.Optimizer):  # type: ignore[misc]
        """Two optimizers that are told and saved as one."""

        def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
            self.parts = parts
            super().__init__(weights, {})
            self.param_groups = [group for part in parts for group in part.param_groups]

        def step(self, closure: None = None) -> None:
            for part in self.parts:
                part.step()

        def state_dict(self) -> dict[str, Any]:
            return {str(number): part.state_dict() for number, part in enumerate(self.parts)}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            for number, part in enumerate(self.parts):
                part.load_state_dict(state_dict[str(number)])
            self.param_groups = [group for part in self.parts for group in part.param_groups]

    muon = torch.optim.Muon(
        matrices, lr=train.learning_rate, weight_decay=train.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    return Both([muon, *([torch.optim.AdamW(others, **adam)] if others else [])])


# --- weights in bf16 --------------------------------------------------------------------------------------------------


def round_at_random(values: torch.Tensor) -> torch.Tensor:
    """Round fp32 values to bf16, up or down by chance, so that the rounded values are right on average.

    bf16 is the upper half of fp32: a random number of 16 bits is added to the lower half, which then is cut off.
    """
    import torch

    bits = values.contiguous().view(torch.int32)
    noise = torch.randint_like(bits, 1 << 16)
    rounded = ((bits + noise) & -(1 << 16)).view(torch.float32)
    return torch.where(values.isfinite(), rounded, values).to(torch.bfloat16)


def _rounding_adamw() -> Any:
    import torch

    class RoundingAdamW(torch.optim.Optimizer):  # type: ignore[misc]
        """AdamW (Loshchilov & Hutter 2019) whose weights and state are bf16: it computes in fp32 and rounds at random.

        To round to the nearest would lose most steps: a step is often smaller than half of what bf16 can tell apart.
        """

        def __init__(
            self, params: Iterable[torch.Tensor], lr: float, betas: tuple[float, float], weight_decay: float
        ) -> None:
            super().__init__(params, {"lr": lr, "betas": betas, "eps": 1e-8, "weight_decay": weight_decay})

        @torch.no_grad()  # type: ignore[untyped-decorator]
        def step(self, closure: None = None) -> None:
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._update(weight, group)

        def _update(self, weight: torch.Tensor, group: dict[str, Any]) -> None:
            state = self.state[weight]
            if not state:
                state |= {"step": torch.zeros((), dtype=torch.float32)}
                state |= {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
            state["step"] += 1
            step, (one, two) = float(state["step"]), group["betas"]
            here = [_local(part) for part in (weight, weight.grad, state["exp_avg"], state["exp_avg_sq"])]
            value, grad, mean, square = (part.float() for part in here)
            mean.lerp_(grad, 1 - one)
            square.lerp_(grad * grad, 1 - two)
            scale = (square / (1 - two**step)).sqrt_().add_(group["eps"])
            value.mul_(1 - group["lr"] * group["weight_decay"]).addcdiv_(
                mean, scale, value=-group["lr"] / (1 - one**step)
            )
            for part, new in zip((here[0], here[2], here[3]), (value, mean, square), strict=True):
                part.copy_(round_at_random(new) if part.dtype == torch.bfloat16 else new)

    return RoundingAdamW


def _local(tensor: Any) -> Any:
    """The part of a tensor that this process holds."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor
