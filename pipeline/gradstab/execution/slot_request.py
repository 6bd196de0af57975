"""The slots that a run asks for, and which of them a machine can offer."""

from __future__ import annotations

from dataclasses import dataclass

from gradstab.loop.ports import Device, Slot


@dataclass(frozen=True)
class SlotRequest:
    """Which slots a run wants.

    Attributes:
        slots: the largest number of slots: of GPU slots where the device is "gpu", else of CPU slots. None takes all.
        device: "cpu", "gpu", or "any" for both side by side.
        gpu_share: the part of a GPU that one slot takes.
    """

    slots: int | None = None
    device: Device = "any"
    gpu_share: float = 1.0

    def slots_of(self, resources: dict[str, float], num_elsewhere: int = 0) -> list[Slot]:
        """The slots to use on a node with these resources (Ray's names), GPUs first.

        Args:
            num_elsewhere: the slots on other nodes that count against `slots`.
        """
        num_cpu = int(resources.get("CPU", 0))
        num_gpu = int(resources.get("GPU", 0)) * int(1 / self.gpu_share + 1e-9)
        left = None if self.slots is None else max(0, self.slots - num_elsewhere)
        if self.device == "gpu":
            num_cpu, num_gpu = 0, num_gpu if left is None else min(left, num_gpu)
        else:
            num_cpu, num_gpu = num_cpu if left is None else min(left, num_cpu), num_gpu if self.device == "any" else 0
        gpu = [Slot(f"cuda-{i}", "cuda") for i in range(num_gpu)]
        return [*gpu, *(Slot(f"cpu-{i}", "cpu") for i in range(num_cpu))]

    def counts(self, slot: Slot) -> bool:
        """Whether a slot counts against `slots`."""
        return (slot.kind == "cuda") == (self.device == "gpu")

    def autoscaler_bundles(self) -> list[dict[str, float]]:
        """The resources to request from an autoscaler: one bundle for each slot."""
        bundle = {"GPU": self.gpu_share} if self.device == "gpu" else {"CPU": 1.0}
        return [bundle] * (self.slots or 0)

    def no_slot_message(self, *, on_cluster: bool) -> str:
        """The sentence for the user where this machine, or the whole cluster, has no slot of this kind."""
        what = {"gpu": "GPU", "cpu": "CPU", "any": "CPU or GPU"}[self.device]
        if not on_cluster:
            return f"Ray finds no {what} on this machine: name a cluster (--address), or choose another device"
        if self.slots is None:
            return (
                f"the Ray cluster has no {what}: start a worker node that has one, or set resources.slots, "
                "which is the number of slots that an autoscaler is asked for"
            )
        return (
            f"the Ray cluster has no {what}: {self.slots} slots were requested, but no node joined. "
            "Start a worker node, or read what the cluster's autoscaler reports"
        )
