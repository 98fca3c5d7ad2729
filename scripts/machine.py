# SPDX-License-Identifier: BSD-2-Clause
"""Where what needs KVM runs: on this machine, or in the lab where KVM cannot be used here."""

import fcntl
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LAB = os.path.join(HERE, "..", "lab", "run")
KVM_GET_API_VERSION = 0xAE00
KVM_CREATE_VM = 0xAE01
KVM_API = 12


def why_no_kvm():
    """What stands in the way, in words; None if KVM can be used here."""
    try:
        device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    try:
        version = fcntl.ioctl(device, KVM_GET_API_VERSION)
        if version != KVM_API:
            return f"/dev/kvm: API version {version}, not {KVM_API}"
        os.close(fcntl.ioctl(device, KVM_CREATE_VM, 0))  # not where another hypervisor is at work
    except OSError as error:
        return f"/dev/kvm makes no VM: {error.strerror}"
    finally:
        os.close(device)
    return None


def without_kvm():
    """Whether to use the lab. If so, says so, and has the packages it needs installed."""
    reason = why_no_kvm()
    if reason is None:
        return False
    print(
        f"ferry: no KVM here ({reason}): running in the lab, an emulated machine, instead, "
        "which takes some minutes; 'ferry doctor' tells more",
        flush=True,
    )
    if subprocess.run([os.path.join(HERE, "setup"), "--lab"], check=False).returncode != 0:
        sys.exit(1)
    return True
