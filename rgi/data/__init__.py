"""Images: where they come from, how they lie on disk, and as tensors.

Downloads are in rgi.data.downloads: what they import would cost each job a twentieth of a second.
"""

from rgi.data.archives import unpack, unpacked_name
from rgi.data.arrays import open_images, open_masks, to_floats, to_tensor, to_uint8
from rgi.data.counts import training_images
from rgi.data.kinds import open_groups, open_kinds, save_names
from rgi.data.preparation import companions, prepare
from rgi.data.preview import save_preview
from rgi.data.provenance import check_registered
from rgi.data.publications import PUBLICATIONS, Archive, Publication
from rgi.data.sources import GOOD

__all__ = [
    "GOOD",
    "PUBLICATIONS",
    "Archive",
    "Publication",
    "check_registered",
    "companions",
    "open_groups",
    "open_images",
    "open_kinds",
    "open_masks",
    "prepare",
    "save_names",
    "save_preview",
    "to_floats",
    "to_tensor",
    "to_uint8",
    "training_images",
    "unpack",
    "unpacked_name",
]
