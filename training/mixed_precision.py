"""Says where a learner computes and how precisely: the device, autocast, and the scaling of small gradients.

Weights, their updates and the loss stay in float32; only what autocast lists (products of matrices) is done
in 16 bits. bf16 has the range of float32 and needs no more. fp16 does not: gradients are scaled up before
they are computed and down before they are used, and a step whose gradient overflowed is left out.
Source: Micikevicius et al. 2018, Mixed precision training.
"""

from collections.abc import Mapping
from typing import Final

import torch

from training.config import Config, Device, Precision, TwoTowerConfig
from training.errors import DeviceError

_DTYPES: Final[Mapping[Precision, torch.dtype]] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def find_device(name: Device, rank: int = 0) -> torch.device:
    """Finds the device that the settings name; of several processes on GPUs each takes its own.

    Raises:
        DeviceError: this machine has none of that kind, or torch was built without it.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            f"device: expected one that this machine and torch {torch.__version__} have, got {name!r}; "
            "'cpu' is always there"
        )
    return torch.device(name, rank % torch.cuda.device_count()) if name == "cuda" else torch.device(name)


def compute_in(precision: Precision, device: torch.device) -> torch.autocast:
    """Returns the context in which the towers are computed; float32 changes nothing."""
    dtype = _DTYPES.get(precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def make_scaler(config: Config) -> torch.amp.GradScaler:
    """Makes the scaler of gradients, which does nothing but for fp16."""
    enabled = isinstance(config, TwoTowerConfig) and config.precision == "fp16"
    device = config.device if isinstance(config, TwoTowerConfig) else "cpu"
    return torch.amp.GradScaler(device, enabled=enabled)
