"""The files of NUS-WIDE, each kind by itself; `formats.nuswide` puts them together."""
