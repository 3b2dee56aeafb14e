"""The scope ``mmseg_u2pl`` of configs that are inherited as ``mmseg_u2pl::...``.

MMEngine marks what it inherits from ``mmseg_u2pl::...`` with the scope ``mmseg_u2pl`` and looks
for registries of that scope. Everything here is registered with MMSegmentation, so there is an
empty child of each of its registries: what a child does not hold is found in its parent.
"""

import mmseg.registry
from mmengine.registry import Registry

# A parent does not import its modules when a child asks it for one.
_LOCATIONS = [
    "mmseg.datasets",
    "mmseg.engine",
    "mmseg.evaluation",
    "mmseg.models",
    "mmseg.visualization",
]

for _parent in vars(mmseg.registry).values():
    if isinstance(_parent, Registry):
        Registry(_parent.name, parent=_parent, scope="mmseg_u2pl", locations=_LOCATIONS)
