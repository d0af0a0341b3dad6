"""What in an image speaks for a label: targets, and maps of them by deconvolution and by gradients."""
