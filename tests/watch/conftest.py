from tests.world import business, new_business, sandbox, shared_sandbox

__all__ = ["business", "new_business", "sandbox", "shared_sandbox"]
