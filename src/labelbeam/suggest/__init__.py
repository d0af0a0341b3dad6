"""What to add to an image, given what a person accepted and rejected; which image to look at first."""
