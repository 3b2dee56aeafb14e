# The method, with the paper's values. A config uses it as
#   model = dict(_delete_=True, type='U2PL', segmentor=_base_.model, **_base_.u2pl)
custom_imports = dict(imports=["mmseg_u2pl"], allow_failed_imports=False)
u2pl = dict(
    alpha_0=0.2,  # share of pixels held unreliable at the start; falls linearly to 0
    unsup_weight=1.0,  # eta
    contra_weight=0.1,  # lambda_c
    ema_decay=0.99,
    contrastive_head=dict(
        num_anchors=50,  # M, a class
        num_negatives=256,  # N, an anchor
        temperature=0.5,  # tau
        min_prob=0.3,  # delta_p
        queue_size=30000,  # embeddings a class; a list gives each class its own size
    ),
)
custom_hooks = [
    dict(type="DataCheckHook"),
    dict(type="MeanTeacherHook", sup_only_iters=0),
]
