"""What a user does with labelled data, one verb a file: `labelbeam data VERB`."""
