#!/bin/bash
# Holds the namespaces of one sandbox: runs inside the guest's, and waits for its stdin to end.
# Prints "router PID" and "ready"; then, after the end of stdin, ends what still runs in the guest.
set -eu
here=$1 # test/sandbox
exec 3<&0 </dev/null

hold_router() {
	exec unshare -n bash -c '
		set -e
		ip -batch - <<-END
			link set lo up
			addr add 169.254.0.23/32 dev lo
		END
		cd /proc/sys/net
		[[ -e ipv6/conf/default/disable_ipv6 ]] && echo 1 >ipv6/conf/default/disable_ipv6
		echo 1 >ipv4/ip_forward
		cd ipv4/conf
		# The source check: a port drops what does not come from an address behind it.
		echo 0 >all/rp_filter; echo 1 >default/rp_filter
		# The fabric: a port answers ARP for every address that is behind another port.
		echo 1 >default/proxy_arp
		for of in all default; do
			echo 0 >$of/arp_ignore; echo 0 >$of/arp_filter; echo 0 >$of/send_redirects
		done
		echo $$
		exec cat >/dev/null' <&3
}
exec 4< <(hold_router)

mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
# /etc as a copy of the little that programs need: an overlay is denied to ordinary users. The
# working directory stays on the host's /etc while the new one is mounted over it.
cd /etc
mount -t tmpfs -o mode=755 tmpfs /etc
for name in passwd group hosts nsswitch.conf localtime alternatives ld.so.cache ld.so.conf \
	ld.so.conf.d iproute2 protocols services; do
	if [[ -r $name ]]; then cp -RP --preserve=mode "$name" /etc/ 2>/dev/null || true; fi
done
cd /
cp -RP --preserve=mode "$here/guest/etc/." /etc/
ln -s /proc/mounts /etc/mtab
if [[ -d /usr/lib/sysctl.d ]]; then
	mount -t tmpfs -o mode=755 tmpfs /usr/lib/sysctl.d
	cp "$here"/guest/usr-lib-sysctl.d/* /usr/lib/sysctl.d/
fi
mkdir -p /etc/sandbox/bin /etc/init.d /etc/sysctl.d /run/systemd/system /run/lock /run/sandbox/faults
cp --preserve=mode "$here"/network-scripts/* /etc/sandbox/bin/
mv /etc/sandbox/bin/network /etc/init.d/network

cd /proc/sys/net/ipv4
echo 0 >ip_forward
cd conf
for of in all default; do
	echo 1 >$of/rp_filter; echo 1 >$of/promote_secondaries
	for key in arp_ignore arp_announce arp_filter accept_local src_valid_mark; do echo 0 >$of/$key; done
done
echo 0 >lo/rp_filter
cd /
ip link set lo up

read -r -t 10 router <&4
echo "router $router"
echo ready

# Whatever ends the parent, SIGKILL included, also ends our stdin.
cat <&3 >/dev/null
for process in /proc/[0-9]*; do
	pid=${process#/proc/}
	if [[ $pid != "$$" && $process/ns/mnt -ef /proc/$$/ns/mnt ]]; then kill -KILL "$pid" 2>/dev/null || true; fi
done
