# shellcheck shell=bash
# Shared by the scripts beside it: where artefacts are cached, which Debian mirror this machine uses, and how an artefact
# is built exactly once. Sourced, never run.

# shellcheck disable=SC2034 # for who sources this
# The folder above this one, whichever way the script was called.
VITRINE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The disk tools live where an ordinary user's PATH does not look.
export PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s\n' "$*" >&2; }

die() {
	say "error: $*"
	exit 1
}

# cache_dir prints the folder outside the clone in which built artefacts are kept.
cache_dir() {
	local dir=${VITRINE_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/vitrine}
	mkdir -p "$dir"
	(cd "$dir" && pwd)
}

# key_of prints a short name for the bytes on its standard input.
key_of() { sha256sum | cut -c1-16; }

# debian_mirror prints the first archive (never a security one) that this machine's own apt is set up to use.
debian_mirror() {
	local uri
	uri=$(
		cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
			awk '
				/^[[:space:]]*#/ { next }
				tolower($1) == "uris:" { for (i = 2; i <= NF; i++) print $i }
				$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^[a-z+]+:\//) { print $i; break } }
			' | grep -v -i security | grep '/debian/*$' | head -n 1
	) || true
	[ -n "$uri" ] || die "no Debian archive found in /etc/apt/sources.list or /etc/apt/sources.list.d"
	printf '%s\n' "${uri%/}"
}

# apt_options prints the machine's own apt settings for proxies and certificates, one per line, for an apt elsewhere.
apt_options() {
	apt-config dump 2>/dev/null |
		grep -E '^Acquire::(https?::(Proxy|CaInfo|Verify-Peer)|Retries)[^"]* "[^"]+";$' || true
}

# build_once NAME COMMAND… makes the cache entry NAME when it is missing and prints its path. COMMAND gets the path of a
# fresh folder as its last argument; the folder takes its name only when COMMAND succeeded, and of several callers one builds.
build_once() {
	local cache name target work
	cache=$(cache_dir)
	name=$1
	shift
	target=$cache/$name
	if [ ! -d "$target" ]; then
		exec 9>"$cache/.$name.lock"
		flock 9
		if [ ! -d "$target" ]; then
			# Leftovers of a builder that was killed: we hold the lock, so nobody is using them.
			rm -rf --one-file-system "$cache/.$name".work.*
			work=$(mktemp -d "$cache/.$name.work.XXXXXX")
			chmod 755 "$work"
			# COMMAND inherits the lock, so that it is kept while COMMAND lives even if we are killed.
			if ! ("$@" "$work" >&2); then
				rm -rf --one-file-system "$work"
				die "building $name failed"
			fi
			mv -T "$work" "$target"
		fi
		exec 9>&-
	fi
	printf '%s\n' "$target"
}

# need TOOL… stops with the list of the tools that are missing.
need() {
	local tool missing=()
	for tool; do
		command -v "$tool" >/dev/null 2>&1 || missing+=("$tool")
	done
	[ ${#missing[@]} -eq 0 ] || die "missing: ${missing[*]} (scripts/install says which packages bring them)"
}

# stage NAME COMMAND… runs one stage of a longer job, tells how long it took, and keeps the time in the file VITRINE_STAGES.
stage() {
	local name=$1 begin=$SECONDS status=0 verdict=ok
	shift
	say "== $name"
	"$@" || status=$?
	[ $status -eq 0 ] || verdict="FAILED ($status)"
	say "== $name: $((SECONDS - begin)) s, $verdict"
	[ -z "${VITRINE_STAGES:-}" ] || printf '%-10s %5d s  %s\n' "$name" $((SECONDS - begin)) "$verdict" >>"$VITRINE_STAGES"
	return $status
}
