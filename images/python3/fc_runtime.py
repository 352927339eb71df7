"""Runs fc_channel.py, beside this file, from its compiled form.

The interpreter never caches the script it is started with, and compiling the
runtime would be a seventh of a cold start. The build puts the compiled form
for this host's interpreter into __pycache__; it is bound to the source's hash,
and an image with another Python compiles the source.
"""
import sys
from _frozen_importlib_external import SourceFileLoader

sys.dont_write_bytecode = True  # neither the runtime's directory nor /code can be written
exec(SourceFileLoader('fc_channel', __file__.rpartition('/')[0] + '/fc_channel.py').get_code('fc_channel'))
