"""Models that MMSegmentation lacks; importing them registers them. Nothing else depends on them."""
