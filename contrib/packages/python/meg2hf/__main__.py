"""`python -m meg2hf`: the command, with the same words."""

import os
import sys

from meg2hf import find_binary

binary = find_binary()
os.execv(binary, [binary, *sys.argv[1:]])
