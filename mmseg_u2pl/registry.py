"""The scope ``mmseg_u2pl`` of configs that are inherited as ``mmseg_u2pl::...``.

MMEngine gives configs inherited from ``mmseg_u2pl::...`` the scope ``mmseg_u2pl`` and looks for
registries of that scope. All components are registered with MMSegmentation, so each of its
registries has an empty child here, and look-ups fall back to the parent.
"""

import mmseg.registry
from mmengine.registry import Registry

# A parent registry does not import its modules when a child looks up a name.
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
