#!/bin/sh
# The first process of the computer that qemu.ts brings up: makes of a bare kernel what a Docker Engine and smolvm need, runs
# the command that was left in /exchange, and turns the computer off. Lines that begin with "::" are for whoever waits.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH HOME=/root

say() { echo ":: $*"; }
off() {
  echo "$1" >/exchange/code
  sync
  echo o >/proc/sysrq-trigger
  sleep 60
}

mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue
mountpoint -q /dev/pts || mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t tmpfs -o mode=755 tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
chmod 1777 /tmp
ln -sfn /proc/self/fd /dev/fd

# Of the two, the one that this processor has.
modprobe kvm_amd npt=1 2>/dev/null || modprobe kvm_intel 2>/dev/null
modprobe -a tun overlay br_netfilter vsock vhost_vsock 2>/dev/null
if [ ! -c /dev/kvm ]; then
  say "no /dev/kvm here"
  off 90
fi
# A machine's monitor may be another user's.
chmod 666 /dev/kvm
say "up"

echo microvm-host >/proc/sys/kernel/hostname
echo 127.0.0.1 localhost microvm-host >/etc/hosts
ip link set lo up
# What a machine must not reach has to be there, or nobody would notice that it does.
ip link add name outside type bridge
for address in 198.51.100.1/24 1.1.1.1/32 8.8.8.8/32 93.184.215.14/32 169.254.169.254/32; do
  ip addr add "$address" dev outside
done
ip link set outside up
ip route add default dev outside

# What the tests write beside the sources stays in here.
mkdir -p /bottleworks /written/upper /written/work
mount -t overlay overlay -o lowerdir=/checkout,upperdir=/written/upper,workdir=/written/work /bottleworks

say "starting a Docker Engine"
dockerd --bip 172.28.0.1/24 >/var/log/dockerd.log 2>&1 &
tries=0
until grep -qs 'API listen on' /var/log/dockerd.log; do
  tries=$((tries + 1))
  if [ $tries -gt 300 ]; then
    tail -n 20 /var/log/dockerd.log
    say "the Docker Engine did not start"
    off 91
  fi
  sleep 1
done
say "a Docker Engine runs"

# Of minutes in which nothing is said, what the computer is at.
(
  while sleep 20; do
    busiest=$(top -bn 2 -d 2 -w 400 -c -o %CPU | awk '/^ *PID/ { part++; next } part == 2 && $9 > 5 && n++ < 3 { $1=$2=$3=$4=$5=$6=$7=$8=$10=""; print }' | cut -c 1-70 | tr -s ' \n' ' |')
    say "at$busiest"
  done
) &

cd /bottleworks || off 92
sh /exchange/command
off $?
