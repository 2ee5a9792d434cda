from tests.daemon.daemon_kit import billing, nursery
from tests.world import business, new_business, sandbox, shared_sandbox

__all__ = ["billing", "business", "new_business", "nursery", "sandbox", "shared_sandbox"]
