"""Object detection: anchors, boxes, matching, losses, suppression and the detectors."""
