#!/bin/sh
# The first process of an Engine's namespaces (engine.ts starts it there): makes a root file system, a network with an
# "internet" of its own, and the Engine in them. Its end is the end of everything there, and the kernel tidies up.
set -eu
lower=$1 place=$2 kind=$3

ip link set lo up
# What a machine must not reach has to be there, or nobody would notice that it does: these are dialled by the tests.
ip link add name outside type bridge
for address in 198.51.100.1/24 1.1.1.1/32 8.8.8.8/32 93.184.215.14/32 169.254.169.254/32 169.254.170.2/32; do
  ip addr add "$address" dev outside
done
ip link set outside up
ip route add default dev outside

root=$place/root
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$place/upper,workdir=$place/work" "$root"
cd "$root"
mkdir -p old
mount -t proc proc proc
mount --rbind /sys sys
# Devices of its own: an Engine changes whose they are, and what is in /dev/shm.
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/net dev/shm dev/pts dev/mqueue
while read -r name major minor; do mknod -m 666 "dev/$name" c "$major" "$minor"; done <<DEVICES
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
fuse 10 229
net/tun 10 200
DEVICES
mount -t tmpfs tmpfs dev/shm
mount -t mqueue mqueue dev/mqueue
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
# Of cgroups in both versions at once, crun wants none.
if [ "$kind" = podman ] && mountpoint -q sys/fs/cgroup/unified; then umount sys/fs/cgroup/unified; fi
mount -t tmpfs tmpfs run
mkdir -p run/engine var/lib/engine
mount --bind "$place/run" run/engine
mount --bind "$place/data" var/lib/engine
# A plain chroot is not enough: `docker load` changes its root itself.
pivot_root . old
umount -l /old

socket=unix:///run/engine/docker.sock
case $kind in
docker)
  mkdir -p /run/containerd
  containerd --root /var/lib/engine/containerd >/run/engine/containerd.log 2>&1 &
  exec dockerd --containerd /run/containerd/containerd.sock --data-root /var/lib/engine/docker \
    --host "$socket" --bip 172.28.0.1/24 --cgroup-parent "$4" >/run/engine/engine.log 2>&1
  ;;
rootless)
  echo 'user:x:1000:1000::/home/user:/bin/sh' >>/etc/passwd
  echo 'user:x:1000:' >>/etc/group
  echo 'user:100000:65536' >/etc/subuid
  echo 'user:100000:65536' >/etc/subgid
  mkdir -p /home/user /run/user/1000
  chown user: /home/user /run/user/1000 /run/engine /var/lib/engine
  # Not by exec: the kernel forgets to end a process with its parent once that process is somebody else's.
  setpriv --reuid user --regid user --init-groups env HOME=/home/user XDG_RUNTIME_DIR=/run/user/1000 \
    DOCKERD_ROOTLESS_ROOTLESSKIT_NET=slirp4netns sh /usr/share/docker.io/contrib/dockerd-rootless.sh \
    --data-root /var/lib/engine/docker --host "$socket" --bip 172.28.0.1/24 >/run/engine/engine.log 2>&1
  ;;
podman)
  exec podman --root /var/lib/engine/containers --cgroup-manager cgroupfs system service --time 0 "$socket" \
    >/run/engine/engine.log 2>&1
  ;;
esac
