"""Keywords inside photographs and beside them: XMP, IPTC, sidecars, and the record of what runs wrote."""
