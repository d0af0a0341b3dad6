"""What several formats share: names of images and labels, documents, placing of files, the data set at the end."""
