"""What is in labelled data, and what is wrong with it, before anything is trained."""
