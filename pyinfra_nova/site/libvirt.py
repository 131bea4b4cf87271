"""How guests run on a compute."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from pyinfra_nova.site.section import Section
from pyinfra_nova.site.value_types import CpuModel, Login, Uuid


class Libvirt(Section):
    """How guests run on a compute.

    Attributes:
        virt_type: ``auto`` is kvm where the host can, else qemu (software emulation).
        cpu_mode: what guests see of the CPU; None leaves it to Nova, except that qemu gets none.
        cpu_models: for cpu_mode custom.
        rbd_secret_uuid: under which libvirt knows the key of Ceph, ``rbd_secret_key`` of the
            secrets; Cinder has the same in its ``rbd_secret_uuid`` and tells it with each volume.
        rbd_user: whose key that is, without ``client.``; only for what Nova itself has on Ceph,
            such as guests' disks with images_type rbd. Nova has both options only with it.
    """

    virt_type: Literal["auto", "kvm", "qemu"] = "auto"
    cpu_mode: Literal["host-model", "host-passthrough", "custom", "none"] | None = None
    cpu_models: list[CpuModel] = []
    rbd_secret_uuid: Uuid | None = None
    rbd_user: Login | None = None

    @model_validator(mode="after")
    def _agree(self) -> Libvirt:
        # nova-compute refuses to start otherwise (virt/libvirt/driver.py _check_cpu_compatibility).
        if (self.cpu_mode == "custom") != bool(self.cpu_models):
            raise ValueError("cpu_mode custom and cpu_models need each other")
        if self.virt_type == "qemu" and self.cpu_mode == "host-passthrough":
            raise ValueError("cpu_mode host-passthrough needs virt_type kvm")
        if self.rbd_user and not self.rbd_secret_uuid:
            raise ValueError("rbd_user needs rbd_secret_uuid")
        return self
