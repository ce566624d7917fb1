"""What every number means: the bit-exact arithmetic of the machine, in plain NumPy.

This is the slow, clear truth. The interpreter of the graph level and the emulator's twin run it;
fast kernels elsewhere are checked against it. Import from the module of the subject:
``convert``, ``integer``, ``requantize``, ``elementary``, ``compare``, ``reduction``, ``matrix``,
``random``. Nothing here calls a host math library, and no result depends on the host.
"""
