"""Gives the wheel the tags of the machine that its binary runs on.

The binary is static: it needs no C library, so any Linux of its processor will do. The oldest tags
that installers know say so, for glibc and for musl.
"""

import os

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TagHook(BuildHookInterface):
    def initialize(self, version, build_data):
        machine = os.environ["MEG2HF_MACHINE"]
        platforms = ["manylinux_2_17", "manylinux2014", "musllinux_1_1"]
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-" + ".".join(f"{name}_{machine}" for name in platforms)
