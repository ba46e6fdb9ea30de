#!/bin/bash
# Prints the guest's whole network state as text, without what changes by itself (lifetimes, interface
# numbers), for a comparison of before and after. Words: files and folders to print besides.
export LC_ALL=C

echo "== links"
ip -o link | sed -E 's/^[0-9]+: //; s/@[^:]+:/:/; s/ link-netns(id)? [^ ]+//; s/ qlen [0-9]+//; s/ (qdisc|state) [a-zA-Z]+//g' | sort

echo "== addresses"
# A link-local IPv6 address comes when the kernel has checked it, a second later.
ip -o addr | sed -E '/scope link/d; s/^[0-9]+: //; s/\\.*//; s/ +/ /g; s/ $//' | sort

echo "== rules"
ip -4 rule

echo "== routes"
ip -4 route show table all | sed -E '/ table local( |$)/d; s/ +$//' | sort

echo "== sysctls"
cd /proc/sys/net/ipv4 || exit
echo "ip_forward $(<ip_forward)"
for folder in conf/*; do
	echo "$folder rp_filter $(<"$folder/rp_filter") arp_ignore $(<"$folder/arp_ignore")" \
		"promote_secondaries $(<"$folder/promote_secondaries")"
done

echo "== files"
for place in /etc/sysconfig/network-scripts /etc/sysctl.conf /etc/sysctl.d \
	/etc/NetworkManager/system-connections "$@"; do
	[[ -e $place ]] && find "$place" -type f
done | sort | while read -r file; do
	stat -c '-- %n %a %u:%g' "$file"
	cat "$file"
done
