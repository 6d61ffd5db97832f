"""Takes settings from the first partition of the card, which any computer can write, when the board starts.

Its files: `edged.toml`, `wifi.txt`, `hostname.txt`, `authorized_keys`; what is wrong with them is in `edged-error.txt`.
Only the standard library: this runs before the network is there, on the system's Python.
"""
