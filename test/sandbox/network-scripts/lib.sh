# Shared by the stand-ins: where things are, how calls are logged, how faults are switched on.
# Behaviour follows what CentOS 7.2's network-scripts (initscripts 9.49.30) do; the code is our own.

bin=${BASH_SOURCE[0]%/*}
scripts=/etc/sysconfig/network-scripts
run=/run/sandbox
sysctl_dir=/proc/sys
export LC_ALL=C

# One line per call: seconds since the epoch, then the words, separated by tabs.
log_call() {
	local line=$EPOCHREALTIME word
	for word in "${0##*/}" "$@"; do line+=$'\t'$word; done
	{ echo "$line" >>"$run/calls.log"; } 2>/dev/null || true
}

# fault NAME [NIC]: is the fault on, for all or for this NIC? Its value is left in $fault_value.
# A file that ends in .once counts for one call.
fault() {
	local file
	for file in "$1" "$1${2:+@$2}"; do
		file=$run/faults/$file
		if [[ -e $file.once ]]; then
			fault_value=$(<"$file.once")
			rm -f "$file.once"
			return 0
		elif [[ -e $file ]]; then
			fault_value=$(<"$file")
			return 0
		fi
	done
	return 1
}

net_log() { echo "ERROR     : [$0] $1"; }

nm_is_running() { [[ -d /run/NetworkManager ]]; }

is_false() { [[ ${1,,} == @(no|n|f|false|off|0) ]]; }

mac_of() {
	local mac=
	[[ -r /sys/class/net/$1/address ]] && read -r mac <"/sys/class/net/$1/address"
	echo "${mac^^}"
}

is_up() { [[ -d /sys/class/net/$1 ]] && (($(<"/sys/class/net/$1/flags") & 1)); }

# The file for a NIC, a file name, a MAC or a DEVICE. The last two look-ups know bare and
# double-quoted values only: CentOS 7.2 does not find single-quoted ones.
find_config() {
	local name mac
	for name in "ifcfg-$1" "${1##*/}"; do
		[[ -f $name ]] && { echo "$name"; return; }
	done
	mac=$(mac_of "$1")
	[[ -n $mac ]] && grep_config -i HWADDR "$mac" && return
	grep_config -s DEVICE "$1"
}

grep_config() {
	local found
	found=$(grep -l "$1" -E "^[[:space:]]*$2=\"?$3\"?([[:space:]#]|\$)" ifcfg-* 2>/dev/null |
		grep -Ev "$ignored_names" | head -n 1)
	[[ -n $found ]] && echo "$found"
}
ignored_names='(~|\.bak|\.orig|\.rpmnew|\.rpmorig|\.rpmsave)$'

# Sources the file as root's shell does, whatever it says.
source_config() {
	config=${1##*/}
	. "$scripts/$config"
	HWADDR=${HWADDR^^}
	MACADDR=${MACADDR^^}
	DEVICE=${DEVICE:-${config#ifcfg-}}
	use_nm=
	if nm_is_running && ! is_false "$NM_CONTROLLED"; then use_nm=true; fi
}

# Lines of a rule or route file which are neither blank nor a comment.
lines_of() { grep -Ev '^[[:space:]]*(#.*)?$' "$1"; }

# `ip rule add` as on kernel 3.10, which accepts a second rule that is the same. A newer kernel refuses
# it to `ip rule add`, but not to `ip rule restore`: so the rule is made and saved in an empty network
# namespace, where it is the second of the list, and restored here.
add_rule() {
	local error file first second
	# shellcheck disable=SC2068
	error=$(ip -4 rule add $@ 2>&1) && return
	if [[ $error != *"File exists"* ]]; then echo "$error" >&2; return 2; fi
	file=$(mktemp "$run/rule.XXXXXX") || return
	# shellcheck disable=SC2016
	unshare -n sh -c 'ip -4 rule add "$@" && ip -4 rule save' sh $@ >"$file"
	# Four bytes of magic, then netlink messages, each beginning with its length.
	first=$(od -An -tu4 -j4 -N4 "$file")
	second=$(od -An -tu4 -j$((4 + first)) -N4 "$file")
	{ head -c 4 "$file"; tail -c +$((5 + first)) "$file" | head -c "$second"; } | ip -4 rule restore
	rm -f "$file"
}

to_number() {
	local IFS=. part
	read -r -a part <<<"$1"
	echo $((part[0] << 24 | part[1] << 16 | part[2] << 8 | part[3]))
}

to_dotted() { echo "$(($1 >> 24 & 255)).$(($1 >> 16 & 255)).$(($1 >> 8 & 255)).$(($1 & 255))"; }

mask_of_prefix() { echo $((0xffffffff << (32 - $1) & 0xffffffff)); }

prefix_of_mask() {
	local mask prefix=0
	mask=$(to_number "$1")
	while ((mask & 0x80000000)); do prefix=$((prefix + 1)) mask=$((mask << 1 & 0xffffffff)); done
	echo "$prefix"
}

# Without PREFIX and NETMASK an address gets the mask of its class.
classful_prefix() {
	local first=${1%%.*}
	if ((first < 128)); then echo 8; elif ((first < 192)); then echo 16; else echo 24; fi
}
