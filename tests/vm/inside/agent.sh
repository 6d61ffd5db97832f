#!/bin/bash
# The tests' hand in the machine: runs what comes through the virtio-serial port "agent" and sends back how it went.
#
#   there:  ID SECONDS COMMAND        COMMAND and OUTPUT are base64, ID is any word without a space
#   back:   ID STATUS OUTPUT          STATUS 124: it was ended after SECONDS
#
# It is given as a system credential: the image knows nothing of it.

port() {
    local folder
    for folder in /sys/class/virtio-ports/*; do
        if [[ $(<"$folder/name") == "$1" ]]; then echo "/dev/${folder##*/}"; fi
    done
}

until device=$(port agent) && [[ -c $device ]]; do sleep 0.2; done
exec 3<>"$device"
read -r uptime _ </proc/uptime
echo "hello $uptime" >&3
while read -r -u 3 id seconds command; do
    output=$(timeout --kill-after=5 "$seconds" bash -c "$(base64 -d <<<"$command")" 2>&1 </dev/null 3>&- | base64 -w 0; exit "${PIPESTATUS[0]}")
    echo "$id $? $output" >&3
done
