import os

from tests.integration import namespace

if os.geteuid() != 0:
    # Whoever is not root must be so in a user namespace before anything starts a thread (see there).
    _REFUSED = namespace.refusal()
