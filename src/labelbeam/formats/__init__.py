"""One file a layout or family of layouts, and `registry`, which names them; what holds for all of them stands here.

    read_x(path, split, *, options)              -> the data set
    write_x(dataset, path, *, split, images)     -> sentences about what the format cannot hold

`path` is the file or folder of the argument `FORMAT:PATH#SPLIT`. `split` is one of those there are; empty or `all` is
every image, unless a docstring says otherwise. `options` are those that the format's row of `registry.FORMATS` lists.

A reader gives images in the file's order, under keys relative to the folder, or to `root` (of one file: its own folder
where nobody names another). Labels of every split are there whichever is read. The first note says what was
understood. It raises `InputError` for a path or split that is not there, content of another form, and whatever
`data.dataset.settle` finds: no image that is there, no label.

A writer makes new files and folders, whole; nothing is overwritten. `images` says what becomes of image files: `keep`
(referred to where they are), `link` or `copy`. It raises `InputError` where something is in the way, an image is
missing, or a name would not come back as it is.
"""
