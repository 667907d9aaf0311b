#!/bin/sh
# The first process of the namespaces of an Engine that is broken (own-engine.ts starts it there). The Engine may die and be
# started again, while its containers' shims live on, as on any computer; the end of this one is the end of all of it.
set -eu
place=$1 group=$2

ip link set lo up
# Locks, sockets and network namespaces that an Engine has at fixed places.
mount -t tmpfs tmpfs /run
mkdir -p /run/containerd
containerd --root "$place/containerd" --state /run/containerd --address /run/containerd/containerd.sock \
  >>"$place/containerd.log" 2>&1 &
echo '{}' >"$place/daemon.json"
while :; do
  # A killed one leaves it, and its number may be another process's by now.
  rm -f "$place/docker.pid"
  dockerd --config-file "$place/daemon.json" --containerd /run/containerd/containerd.sock --data-root "$place/data" \
    --exec-root /run/docker --pidfile "$place/docker.pid" --host "unix://$place/docker.sock" \
    --bip 172.28.0.1/24 --cgroup-parent "$group" >>"$place/engine.log" 2>&1 || true
  until [ -e "$place/again" ]; do sleep 0.05; done
  rm "$place/again"
done
