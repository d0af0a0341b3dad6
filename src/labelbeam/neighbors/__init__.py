"""What is near a label, an image or a label set in the joint embedding space."""
