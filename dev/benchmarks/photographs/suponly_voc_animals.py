_base_ = ["./voc_animals.py", "../../../configs/_base_/methods/supervised.py"]
default_hooks = _base_.method_hooks
