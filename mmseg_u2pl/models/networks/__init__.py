"""Networks that MMSegmentation lacks, registered on import. Nothing else depends on them."""
