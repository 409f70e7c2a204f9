"""Files as such, and the only place that opens them: pictures, JSON, writing whole or not at all.

Every user of a picture's pixels, size or orientation asks here, so that no two of them disagree.
"""

from fiftyone_ssa.files.images import image_size_hw, read_image

__all__ = ["image_size_hw", "read_image"]
