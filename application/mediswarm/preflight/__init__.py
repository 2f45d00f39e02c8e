"""Checks before anything is trained: the host, a site's data, a pipeline. PASS, WARN or FAIL."""
