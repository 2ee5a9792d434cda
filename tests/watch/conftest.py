from tests.daemon.daemon_kit import billing, nursery, own_logging
from tests.world import business, new_business, sandbox, shared_sandbox

__all__ = ["billing", "business", "new_business", "nursery", "own_logging", "sandbox", "shared_sandbox"]
