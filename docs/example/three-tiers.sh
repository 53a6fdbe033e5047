#!/bin/sh
# Three tiers on two networks: web and api on front, api and db on back, which is internal.
#   three-tiers.sh up BINARY     starts a daemon unless one answers, brings the tiers up, shows who reaches whom
#   three-tiers.sh down BINARY   takes away what up made, and the daemon if up started it
set -eu

bowline=$(readlink -f "$2")
run=/run/bowline
state=/var/lib/bowline
# What up changed of this machine, so that down can put it back.
mark=/run/bowline-example

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

daemon_lives() { [ -f "$run/daemon.pid" ] && kill -0 "$(cat "$run/daemon.pid")" 2>/dev/null; }

start_daemon() {
    daemon_lives && return
    mkdir -p "$mark"
    cat /proc/sys/net/ipv4/ip_forward > "$mark/ip_forward"
    for dir in "$run" "$state" /etc/netns /run/netns; do [ -e "$dir" ] || echo "$dir"; done > "$mark/dirs"
    mkdir -p "$run"
    setsid "$bowline" daemon >> "$mark/daemon.log" 2>&1 < /dev/null &
    echo $! > "$mark/pid"
    tries=0
    until daemon_lives && [ -S "$run/bowline.sock" ]; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ] || ! kill -0 "$(cat "$mark/pid")" 2>/dev/null; then
            cat "$mark/daemon.log" >&2
            exit 1
        fi
        sleep 0.1
    done
    say "started a daemon (pid $(cat "$mark/pid"), log $mark/daemon.log)"
}

reaches() {
    from=$1; to=$2; address=$3; want=$4
    if "$bowline" exec "$from" -- ping -c1 -W1 "$address" >/dev/null 2>&1; then got=yes; else got=no; fi
    printf '  %-4s -> %-4s %-14s reached: %s\n' "$from" "$to" "$address" "$got"
    [ "$got" = "$want" ] || { echo "expected: $want" >&2; exit 1; }
}

up() {
    if [ "$(id -u)" != 0 ]; then echo "make up needs root: it makes bridges and namespaces" >&2; exit 1; fi
    start_daemon
    "$bowline" network show front >/dev/null 2>&1 || "$bowline" network create front >/dev/null
    "$bowline" network show back >/dev/null 2>&1 || "$bowline" network create back --internal >/dev/null
    tier web --network front
    tier api --network front --network back
    tier db --network back

    say 'the networks, and who is on them'
    "$bowline" network ls
    echo
    "$bowline" endpoint ls

    say 'who reaches whom'
    reaches web api "$(address_on api front)" yes
    reaches api db "$(address_on db back)" yes
    reaches web db "$(address_on db back)" no
    reaches db web "$(address_on web front)" no

    say 'try next'
    cat <<TRY
  export PATH=$(dirname "$bowline"):\$PATH
  bowline exec web -- ping $(address_on api front)
  bowline network show back
  bowline run --network front -- ip addr
  bowline --help
  make down
TRY
}

tier() {
    name=$1; shift
    "$bowline" exec "$name" -- true 2>/dev/null && return
    "$bowline" rm -f "$name" >/dev/null 2>&1 || true
    "$bowline" run -d --name "$name" "$@" -- sleep infinity >/dev/null
}

address_on() {
    "$bowline" network inspect "$2" --json | tr -d '\n ' | sed "s/.*\"Name\":\"$1\"[^}]*\"IPv4Address\":\"\([0-9.]*\).*/\1/"
}

down() {
    if daemon_lives; then
        for name in web api db; do "$bowline" rm -f "$name" >/dev/null 2>&1 || true; done
        for name in front back; do "$bowline" network rm "$name" >/dev/null 2>&1 || true; done
    fi
    [ -d "$mark" ] || { echo 'nothing is up'; return; }
    if [ -f "$mark/pid" ] && kill "$(cat "$mark/pid")" 2>/dev/null; then
        while kill -0 "$(cat "$mark/pid")" 2>/dev/null; do sleep 0.1; done
    fi
    cat "$mark/ip_forward" > /proc/sys/net/ipv4/ip_forward
    while read -r dir; do
        # Others may have pinned a namespace there since: then it stays.
        if [ "$dir" = /run/netns ]; then
            if [ -d "$dir" ] && [ -z "$(ls -A "$dir")" ]; then umount "$dir" 2>/dev/null || true; rmdir "$dir"; fi
        else
            rm -rf "$dir"
        fi
    done < "$mark/dirs"
    rm -rf "$mark"
    echo 'down: every trace is gone'
}

case $1 in
    up) up ;;
    down) down ;;
    *) echo "usage: $0 up|down BINARY" >&2; exit 2 ;;
esac
