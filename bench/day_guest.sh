#!/bin/busybox sh
# The one program of the virtual machine of bench/day.py: serves this guest for $HOURS hours at 5 s, with clients that come and
# go, and prints a line `ROW hour RSS-kB threads descriptors` every hour, `FAILED path` for a question without an answer, and
# at the end what history holds.
/bin/busybox mkdir -p /dev /proc /sys /data
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs none /data
ifconfig lo 127.0.0.1 up

host=127.0.0.1 port=61208
perfwatch serve --no-auth --interval 5s --listen $host:$port --data /data/history 2>/data/log &
server=$!
sleep 10

ask() {
    wget -q -O /dev/null "http://$host:$port$1" || echo "FAILED $1"
}
# A WebSocket client that is there for so many seconds.
live() {
    {
        printf 'GET /api/v1/live HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' $host:$port
        printf 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'
        sleep "$1"
    } | timeout "$1" nc $host $port 2>/dev/null
}

hour=0
while [ $hour -lt "$HOURS" ]; do
    round=0
    while [ $round -lt 20 ]; do
        live 170 >/dev/null 2>&1 &
        live 100 >/dev/null 2>&1 &
        # One that goes without a word, and one that does not read.
        live 60 2>/dev/null | head -c 20 >/dev/null &
        live 90 2>/dev/null | sleep 100 &
        for path in / /api/v1/snapshot /metrics /api/v1/verdict '/api/v1/series?select=cpu.*&from=now-6h' \
            '/api/v1/series?select=memory.*&from=now-24h&points=500'; do
            ask "$path"
            sleep 28
        done
        sleep 12
        round=$((round + 1))
    done
    hour=$((hour + 1))
    rss=$(grep VmRSS /proc/$server/status | tr -dc 0-9)
    echo "ROW $hour $rss $(ls /proc/$server/task | wc -l) $(ls /proc/$server/fd | wc -l)"
done

kill $server
wait $server
perfwatch db info --data /data/history
grep -E 'WARN|ERROR' /data/log
poweroff -f
