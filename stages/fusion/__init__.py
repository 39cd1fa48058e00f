"""Early, late and hybrid fusion: features, preprocessing, the fused model, calibration."""
