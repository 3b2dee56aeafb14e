# UniMatch on VOC. Its loss is half of ours; half the learning rate and twice the weight decay give
# the same steps.
_base_ = "./schedule_80e_voc2012.py"
optim_wrapper = dict(optimizer=dict(lr=0.0005, weight_decay=0.0002))
