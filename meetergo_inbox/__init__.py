"""What a platform's hook may import: the types of its arguments, the errors to raise, and `import_file`.

The name of this package is the service's own, so it clashes with no package of the platform. See docs/platform.md.
"""

from meetergo_inbox.file_import import import_file
from meetergo_inbox.hook_types import BookingSnapshot, ChangeSnapshot, HostSnapshot, PlatformHook
from runtime.errors import Permanent, Transient

__all__ = ["BookingSnapshot", "ChangeSnapshot", "HostSnapshot", "Permanent", "PlatformHook", "Transient", "import_file"]
