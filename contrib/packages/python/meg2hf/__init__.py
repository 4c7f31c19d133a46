"""Where the meg2hf command is that this package installed.

The command is one static binary and needs no Python; this is for programs that call it::

    import json, subprocess, meg2hf
    run = subprocess.run([meg2hf.find_binary(), "inspect", "runs/gpt2", "--json"], stdout=-1)
    print(json.loads(run.stdout)["model"])
"""

import os
import sys
import sysconfig

__version__ = "@VERSION@"

__all__ = ["find_binary"]


def find_binary() -> str:
    """The path of the command.

    Raises FileNotFoundError where it was taken away after the installation.
    """
    places = [sysconfig.get_path("scripts")]
    # A user's own installation, and one into a folder (pip install --target).
    scheme = sysconfig.get_preferred_scheme("user") if sys.version_info >= (3, 10) else "posix_user"
    places.append(sysconfig.get_path("scripts", scheme=scheme))
    places.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin"))
    for place in places:
        path = os.path.join(place, "meg2hf")
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(f"meg2hf is in none of {', '.join(places)}")
