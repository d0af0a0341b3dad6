"""Keywords inside photographs and their sidecars: EXIF containers, IPTC, XMP."""
