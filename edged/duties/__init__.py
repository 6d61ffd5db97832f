"""What is done at each turn of the loop beside looking: publish, obey, announce, watch, mend.

Law: pure but for ports and the log; nothing here blocks, knows a third party or sees a Config.
"""
