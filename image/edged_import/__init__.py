"""Takes settings from the first partition of the card, which any computer can write, when the board starts.

Files of it: `edged.toml`, `wifi.txt`, `hostname.txt`, `authorized_keys`. What is wrong with them is in `edged-error.txt` there.
Only the standard library: this runs before the network is there, on the system's Python.
"""
