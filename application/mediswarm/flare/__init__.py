"""MediSwarm on NVFlare: the only package, with provision, that imports nvflare."""
