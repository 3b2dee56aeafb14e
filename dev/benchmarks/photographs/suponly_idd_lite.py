_base_ = ["./idd_lite.py", "../../../configs/_base_/methods/supervised.py"]
default_hooks = _base_.method_hooks
